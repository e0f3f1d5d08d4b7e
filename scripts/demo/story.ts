/** The story of the demo, over the public interfaces: supabase-js, fetch and Stripe's events. */
import { createReferralClient } from '../../client/index.ts'
import type { StackEnvironment } from '../stack/spawn.ts'
import { followLinks, redeemClicked } from './link.ts'
import { operator as asOperator, signUp } from './people.ts'
import { deliver, paidCheckout } from './stripe.ts'

/** One step: the expectation, the observation, and whether they agree. */
export type Step = { title: string; observed: string; happened: boolean }

/** Yields the steps in order. After a step that failed the later ones have no meaning. */
export async function* story(environment: StackEnvironment): AsyncGenerator<Step> {
  const [admin, mentor, friend, stranger] = await Promise.all(
    ['admin', 'mentor', 'friend', 'stranger'].map((name) => signUp(environment, name)),
  )
  if (!admin || !mentor || !friend || !stranger) throw new Error('four people sign up')
  yield {
    title: 'A mentor and a friend sign up through the Auth API',
    observed: `mentor ${mentor.id}, friend ${friend.id}`,
    happened: mentor.id !== friend.id,
  }

  const operator = asOperator(environment)
  const slug = `demo-${crypto.randomUUID().slice(0, 8)}`
  const organisation = await operator.rpc('create_organisation', {
    name: 'Demo',
    slug,
    admin_id: admin.id,
  })
  const org = organisation.data?.id ?? ''
  const settings = await operator.rpc('update_organisation', {
    org_id: org,
    changes: { web_destination: 'https://example.com/welcome' },
  })
  yield {
    title: 'The operator makes an organisation',
    observed:
      organisation.error?.message ??
      `${organisation.data?.name}, ${settings.data?.web_destination}`,
    happened: settings.data?.web_destination === 'https://example.com/welcome',
  }

  const terms = { commission: { kind: 'percent', bps: 2000 }, enrolment: 'open' }
  const program = await operator.rpc('create_program', {
    org_id: org,
    key: 'friends',
    name: 'Bring a friend',
    terms,
  })
  const member = await operator.rpc('add_member', { org_id: org, user_id: mentor.id })
  yield {
    title: 'and a program, with the mentor as a member',
    observed:
      program.error?.message ?? `${program.data?.name}; the mentor is a ${member.data?.role}`,
    happened: program.data?.is_default === true && member.data?.role === 'member',
  }

  const mentors = createReferralClient(mentor.supabase, { orgId: org })
  const first = await mentors.createCode()
  yield {
    title: 'The mentor gets a code',
    observed: first.data?.code ?? first.error?.code ?? '',
    happened: first.data?.status === 'active',
  }

  const second = await mentors.createCode()
  yield {
    title: 'A second code is refused while the first is active',
    observed: second.error?.code ?? `created ${second.data?.code}`,
    happened: second.error?.code === 'active_code_exists',
  }

  const rotated = await mentors.rotateCode()
  const code = rotated.data?.code ?? ''
  const old = await mentors.findByCode(first.data?.code ?? '')
  yield {
    title: 'The code is rotated: the old one is retired, and a new one is issued',
    observed: `${old.data?.code} is ${old.data?.status}, ${code} is ${rotated.data?.status}`,
    happened:
      old.data?.status === 'rotated' && rotated.data?.status === 'active' && code !== old.data.code,
  }

  const retired = first.data?.code ?? ''
  const clickId = yield* followLinks(environment, mentor, { ...rotated.data, retired })

  const friends = createReferralClient(friend.supabase, { orgId: org })
  const redeemed = await redeemClicked(friend, code, clickId)
  yield {
    title: 'The friend redeems it, with the click as the proof of where they came from',
    observed: redeemed.data?.status ?? redeemed.error?.code ?? '',
    happened: redeemed.data?.status === 'pending',
  }

  const again = await friends.redeem(code.toLowerCase().replaceAll('-', ' '))
  yield {
    title: 'Typing it once more, in small letters with spaces, changes nothing',
    observed: `the same redemption: ${again.data?.redemption_id === redeemed.data?.redemption_id}`,
    happened: again.data !== null && again.data.redemption_id === redeemed.data?.redemption_id,
  }

  const adminCode = await createReferralClient(admin.supabase, { orgId: org }).createCode()
  const secondRedemption = await friends.redeem(adminCode.data?.code ?? '')
  yield {
    title: 'A second redemption, of somebody else’s code, is refused',
    observed: secondRedemption.error?.code ?? secondRedemption.data?.status ?? '',
    happened: secondRedemption.error?.code === 'already_redeemed',
  }

  const delivery = paidCheckout({ userId: friend.id })
  const answers = []
  for (let time = 1; time <= 3; time++) answers.push(await deliver(environment, delivery))
  yield {
    title: 'Stripe says three times, signed, that the friend has paid',
    observed: answers.map(({ http, status }) => `${http} ${status}`).join(', '),
    happened:
      answers.map(({ http, status }) => `${http} ${status}`).join() ===
      '200 applied,200 duplicate,200 duplicate',
  }

  const own = await mentors.myReferrals()
  const confirmed = own.data?.filter(({ status }) => status === 'confirmed') ?? []
  yield {
    title: 'The mentor sees exactly one confirmed referral',
    observed: `${own.data?.length} referral, ${confirmed.length} confirmed at ${confirmed[0]?.confirmed_at}`,
    happened: own.data?.length === 1 && confirmed.length === 1,
  }

  const earned = await mentors.myEarnings()
  yield {
    title: 'and has earned 20 percent of what the friend paid, on hold for two weeks',
    observed: JSON.stringify(earned.data ?? earned.error?.code),
    happened: earned.data?.length === 1 && earned.data[0]?.pending === 980,
  }

  const foreign = await createReferralClient(stranger.supabase, { orgId: org }).myReferrals()
  const rows = await stranger.supabase.schema('referral').from('redemptions').select()
  yield {
    title: 'A stranger sees none',
    observed: `${foreign.data?.length} referrals, ${rows.data?.length} rows`,
    happened: foreign.data?.length === 0 && rows.data?.length === 0,
  }
}
