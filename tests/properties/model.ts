/** The life of codes as the documents tell it, in memory: independent of the SQL, and compared with it. */

export type ModelCode = {
  owner: number
  org: number
  status: 'active' | 'suspended' | 'rotated' | 'invalidated' | 'expired'
  isPast: boolean
  hasGrace: boolean
  quota: { used: number; max: number } | null
}

export type Command =
  | { kind: 'create'; who: number; org: number; maxUses: number | null }
  | { kind: 'rotate'; who: number; org: number; grace: boolean }
  | { kind: 'deactivate'; who: number; org: number }
  | { kind: 'suspend' | 'reactivate' | 'end' | 'pass'; code: number }
  | { kind: 'redeem'; who: number; code: number }

/** What a command answers: `ok`, or the code of its error. */
export type Outcome = string

/** What an organisation of the model allows a member. */
export const allowed = { codes_per_member: 3, rotations_per_day: 2 }

export function createModel() {
  const codes: ModelCode[] = []
  /** `org:person` → the code they redeemed there. */
  const redeemed = new Map<string, number>()

  const isLive = ({ status }: ModelCode) => status === 'active' || status === 'suspended'
  const expire = (code: ModelCode) => {
    if (isLive(code) && code.isPast) code.status = 'expired'
  }
  const find = (who: number, org: number, status: string) =>
    codes.find((code) => code.owner === who && code.org === org && code.status === status)
  const expireOf = (who: number, org: number) =>
    codes.filter((code) => code.owner === who && code.org === org).forEach(expire)
  const endGraceOf = ({ owner, org }: ModelCode) => {
    for (const code of codes) if (code.owner === owner && code.org === org) code.hasGrace = false
  }
  const hasTooMany = (who: number, org: number) =>
    codes.filter(
      (code) => code.owner === who && code.org === org && (isLive(code) || code.hasGrace),
    ).length >= allowed.codes_per_member
  const replaced = (who: number, org: number) =>
    codes.filter(
      ({ owner, org: its, status }) =>
        owner === who && its === org && (status === 'rotated' || status === 'invalidated'),
    ).length
  const add = (code: Pick<ModelCode, 'owner' | 'org' | 'quota'>) =>
    codes.push({ ...code, status: 'active', isPast: false, hasGrace: false })

  function run(command: Command): Outcome {
    switch (command.kind) {
      case 'create': {
        // A refused call changes nothing, not even what it found to be past its time; that shows in no answer.
        const { who, org, maxUses } = command
        expireOf(who, org)
        if (find(who, org, 'suspended')) return 'code_suspended'
        if (hasTooMany(who, org)) return 'too_many_codes'
        if (find(who, org, 'active')) return 'active_code_exists'
        add({ owner: who, org, quota: maxUses === null ? null : { used: 0, max: maxUses } })
        return 'ok'
      }
      case 'rotate': {
        const { who, org, grace } = command
        expireOf(who, org)
        if (find(who, org, 'suspended')) return 'code_suspended'
        const old = find(who, org, 'active')
        if (!old) return 'no_active_code'
        if (grace && hasTooMany(who, org)) return 'too_many_codes'
        if (replaced(who, org) >= allowed.rotations_per_day) return 'rate_limited'
        old.status = 'rotated'
        old.hasGrace = grace
        add({ owner: who, org, quota: old.quota })
        return 'ok'
      }
      case 'deactivate': {
        expireOf(command.who, command.org)
        const own = codes.filter(({ owner, org }) => owner === command.who && org === command.org)
        for (const code of own) {
          if (code.status === 'active') code.status = 'invalidated'
          code.hasGrace = false
        }
        return 'ok'
      }
      case 'redeem':
        return redeem(command.who, command.code)
      default: {
        const code = codes[command.code]
        if (!code) return 'ok'
        if (command.kind === 'pass') {
          if (isLive(code)) code.isPast = true
          code.hasGrace = false
          return 'ok'
        }
        expire(code)
        if (command.kind === 'end') {
          if (isLive(code)) {
            code.status = 'invalidated'
            endGraceOf(code)
          }
          code.hasGrace = false
          return 'ok'
        }
        if (!isLive(code)) return 'code_ended'
        if (command.kind === 'suspend') endGraceOf(code)
        code.status = command.kind === 'suspend' ? 'suspended' : 'active'
        return 'ok'
      }
    }
  }

  function redeem(who: number, index: number): Outcome {
    const code = codes[index]
    if (!code) return 'ok'
    const mine = redeemed.get(`${code.org}:${who}`)
    if (mine !== undefined) return mine === index ? 'ok' : 'already_redeemed'
    if (code.owner === who) return 'self_referral'
    if (code.status === 'expired' || (isLive(code) && code.isPast)) return 'code_expired'
    if (code.status === 'suspended') return 'code_suspended'
    if (code.status !== 'active' && !(code.status === 'rotated' && code.hasGrace))
      return 'code_inactive'
    const theirs = redeemed.get(`${code.org}:${code.owner}`)
    if (theirs !== undefined && codes[theirs]?.owner === who) return 'mutual_referral'
    if (code.quota && code.quota.used >= code.quota.max) return 'code_limit_reached'
    if (code.quota) code.quota.used += 1
    redeemed.set(`${code.org}:${who}`, index)
    return 'ok'
  }

  return {
    run,
    /** Every code's status as a reader sees it, and how much of its quota is used. */
    codes: () =>
      codes.map((code) => ({
        status: isLive(code) && code.isPast ? 'expired' : code.status,
        used: code.quota?.used ?? null,
      })),
    redemptions: () => redeemed.size,
  }
}
