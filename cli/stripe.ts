import { Command } from 'commander'
import { endpointCommand } from './stripe/endpoint.ts'

/** `referbase stripe`: what is set up at Stripe. */
export const stripe = new Command('stripe')
  .description('Sets up Stripe: the webhook endpoint.')
  .addCommand(endpointCommand)
