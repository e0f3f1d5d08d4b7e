-- Words that cannot be codes. A `whole` word is refused alone, any other also inside a code. They are stored in
-- normal form, so that other spellings are refused as well. An organisation's own words go here too.
create table referral_private.reserved_words (
  word text not null,
  whole boolean not null,
  constraint reserved_words_pkey primary key (word),
  constraint reserved_words_are_normal check (word = referral_private.normalise_code(word))
);

alter table referral_private.reserved_words enable row level security;

insert into referral_private.reserved_words (word, whole)
select referral_private.normalise_code(word), whole
from
  (
    values
      ('admin', true),
      ('administrator', true),
      ('api', true),
      ('app', true),
      ('auth', true),
      ('code', true),
      ('codes', true),
      ('context', true),
      ('false', true),
      ('help', true),
      ('link', true),
      ('login', true),
      ('none', true),
      ('null', true),
      ('official', true),
      ('qr', true),
      ('ref', true),
      ('referral', true),
      ('root', true),
      ('signup', true),
      ('staff', true),
      ('stripe', true),
      ('supabase', true),
      ('support', true),
      ('system', true),
      ('test', true),
      ('true', true),
      ('undefined', true),
      ('well known', true),
      ('arsch', false),
      ('bastard', false),
      ('bitch', false),
      ('cock', false),
      ('cunt', false),
      ('fag', false),
      ('fick', false),
      ('fotze', false),
      ('fuck', false),
      ('fvck', false),
      ('hitler', false),
      ('hure', false),
      ('merde', false),
      ('nazi', false),
      ('nigga', false),
      ('nigger', false),
      ('penis', false),
      ('porn', false),
      ('puta', false),
      ('putain', false),
      ('rape', false),
      ('shit', false),
      ('slut', false),
      ('sperm', false),
      ('tits', false),
      ('twat', false),
      ('vagina', false),
      ('whore', false),
      ('wank', false),
      ('xxx', false)
  ) as words (word, whole)
where referral_private.normalise_code(word) is not null
on conflict do nothing;

-- Is this key a reserved word, or does it contain one that is reserved inside others too?
create function referral_private.is_reserved(p_key text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from referral_private.reserved_words as r
    where r.word = p_key or not r.whole and position(r.word in p_key) > 0
  );
end
$$;
