import { type Forms, type required, toArguments, type Values } from './arguments.ts'
import type { CallErrors } from './call-errors.ts'
import type { CamelCase } from './camel-case.ts'
import type { Database } from './database.types.ts'
import { invalidArgument, referralError } from './errors.ts'
import { toReferralError } from './platform-errors.ts'
import type { Call, Result } from './result.ts'
import {
  type AnySupabaseClient,
  type Query,
  type ReferralSchema,
  referralSchema,
  type SupabaseResponse,
} from './schema.ts'

type Functions = Database['referral']['Functions']
type Rpc = keyof Functions & keyof CallErrors

/** A form for every argument of an RPC, and for nothing else. */
type FormsOf<Name extends Rpc> = {
  [Argument in keyof Functions[Name]['Args'] as CamelCase<Argument>]: FormOf<
    Functions[Name]['Args'][Argument]
  >
}
type FormOf<Value> = undefined extends Value ? Forms[string] : typeof required

/** The names that a call's options can have, whichever form they have. */
type NamesOf<Options> = Options extends unknown ? keyof Options : never

/** Calls an RPC. Its arguments are the options, or the result of `change`, which is a text where something is wrong. */
type CallRpc = {
  <Name extends Rpc, Data, Options extends object>(
    name: Name,
    forms: FormsOf<Name> &
      (Exclude<NamesOf<Options>, keyof FormsOf<Name>> extends never ? unknown : never),
    options: Options | undefined,
  ): Call<Name, Data>
  <Name extends Rpc, Data>(
    name: Name,
    forms: Forms,
    options: object | undefined,
    change: (args: Values) => Values | string,
  ): Call<Name, Data>
}

export type Calls = ReturnType<typeof createCalls>

/** The calls of a client. `orgId` is the organisation, unless the options name one. */
export function createCalls(supabase: AnySupabaseClient, orgId?: string) {
  const referral = referralSchema(supabase)
  const calling = (get?: boolean) =>
    ((
      name: Rpc,
      forms: Forms,
      options?: object,
      change: (args: Values) => Values | string = (args) => args,
    ) => {
      const args = toArguments(forms, options, orgId)
      return request(typeof args === 'string' ? args : change(args), (args) => {
        // An address has no null. Every argument that can be null is null, or its default, where it is missing.
        if (get) for (const name in args) args[name] ??= undefined
        return referral.rpc(name, args, { get })
      })
    }) as CallRpc
  return {
    rpc: calling(),
    /** Calls an RPC that only reads by GET, which a read replica may answer. What it says can be a moment old. */
    list: calling(true),
    /** Reads a table. */
    read: <Rows>(
      forms: Forms,
      options: object | undefined,
      query: (referral: ReferralSchema, args: Values) => Query,
    ) =>
      request(toArguments(forms, options, orgId), (args) => query(referral, args)) as Call<
        never,
        Rows
      >,
  }
}

/** Sends a request, unless the arguments are a text that says what is wrong. */
async function request(
  args: Values | string,
  send: (args: Values) => PromiseLike<SupabaseResponse>,
): Promise<Result<unknown>> {
  if (typeof args === 'string')
    return { data: null, error: referralError(...invalidArgument, args) }
  const { data, error, status } = await send(args)
  // supabase-js makes a 204 of a 404 without a body. No call of ours has such a response.
  return error || status === 204
    ? { data: null, error: toReferralError(error ?? {}, status) }
    : { data, error: null }
}
