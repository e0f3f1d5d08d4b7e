-- The operator allows an organisation a word that is reserved, such as a surname.

create function referral_private.allow_word(p_org_id uuid, p_word text, p_allowed boolean default true)
returns text[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_word constant text := (
    select r.word from referral_private.reserved_words as r where r.key = referral_private.normalise_code(p_word)
  );
begin
  if not exists (select from referral.organisations as o where o.id = p_org_id) then
    perform referral_private.raise_error('organisation_not_found');
  end if;
  if v_word is null then
    perform referral_private.raise_error('invalid_argument', 'word: one of the reserved words');
  end if;
  if p_allowed is null then
    perform referral_private.raise_error('invalid_argument', 'allowed: true or false');
  end if;
  if p_allowed then
    insert into referral_private.allowed_words (org_id, word) values (p_org_id, v_word) on conflict do nothing;
  else
    delete from referral_private.allowed_words as a where a.org_id = p_org_id and a.word = v_word;
  end if;
  return array(select a.word from referral_private.allowed_words as a where a.org_id = p_org_id order by a.word);
end
$$;

comment on function referral_private.allow_word is
  'public: Allows an organisation a reserved word in the codes that its staff choose, or takes that back. Codes that
exist stay. Returns the words that the organisation is allowed.

group: Set up organisations and programs
org_id: the organisation
word: the word that details of code_reserved names, in any spelling
allowed: false takes it back
callers: the operator
errors: organisation_not_found, invalid_argument, busy
timeout: 5s';

grant execute on function referral_private.allow_word to service_role;
