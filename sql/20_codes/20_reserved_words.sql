-- Words that cannot be codes, in every spelling that reads the same. A word that is reserved `alone` is refused as the
-- whole code, any other also as one word of a code: words end at hyphens, digits and the ends of the code, so GRAPE and
-- COCKTAIL are no matter. An organisation's own words go here too.
create table referral_private.reserved_words (
  word text collate "C" not null,
  alone boolean not null default false,
  key text collate "C" not null generated always as (referral_private.normalise_code(word)) stored,
  -- The word with the digits that are read as letters, between characters that are no letters.
  spelling text not null generated always as (
    '(?<![A-Z])' || replace(replace(referral_private.normalise_code(word), '0', '[0O]'), '1', '[1IL]') || '(?![A-Z])'
  ) stored,
  constraint reserved_words_pkey primary key (word),
  constraint reserved_words_are_one_spelling unique (key),
  constraint reserved_words_are_as_shown check (word = referral_private.show_code(word))
);

alter table referral_private.reserved_words enable row level security;

-- Words that the operator allows an organisation.
create table referral_private.allowed_words (
  org_id uuid not null,
  word text collate "C" not null,
  constraint allowed_words_pkey primary key (org_id, word),
  constraint allowed_words_belong_to_an_organisation
    foreign key (org_id) references referral.organisations (id)
      on delete restrict,
  constraint allowed_words_are_reserved
    foreign key (word) references referral_private.reserved_words (word)
      on delete cascade
);

create index allowed_words_by_word on referral_private.allowed_words (word);

alter table referral_private.allowed_words enable row level security;

create trigger allowed_words_are_on_record
after insert or delete on referral_private.allowed_words
for each row
execute function referral_private.record_change('allowed_word', 'org_id');

insert into referral_private.reserved_words (word, alone)
select referral_private.show_code(word), alone
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
      ('arschloch', false),
      ('bastard', false),
      ('bitch', false),
      ('bitches', false),
      ('cock', false),
      ('cocks', false),
      ('cocksucker', false),
      ('cunt', false),
      ('cunts', false),
      ('fag', false),
      ('fags', false),
      ('faggot', false),
      ('fick', false),
      ('ficken', false),
      ('ficker', false),
      ('fotze', false),
      ('fotzen', false),
      ('fuck', false),
      ('fucked', false),
      ('fucker', false),
      ('fucking', false),
      ('motherfucker', false),
      ('fvck', false),
      ('hitler', false),
      ('hure', false),
      ('huren', false),
      ('hurensohn', false),
      ('merde', false),
      ('nazi', false),
      ('nazis', false),
      ('nigga', false),
      ('nigger', false),
      ('niggers', false),
      ('penis', false),
      ('porn', false),
      ('porno', false),
      ('puta', false),
      ('putain', false),
      ('rape', false),
      ('raped', false),
      ('rapist', false),
      ('shit', false),
      ('shitty', false),
      ('bullshit', false),
      ('slut', false),
      ('sluts', false),
      ('sperm', false),
      ('tits', false),
      ('twat', false),
      ('vagina', false),
      ('whore', false),
      ('whores', false),
      ('wank', false),
      ('wanker', false),
      ('xxx', false)
  ) as words (word, alone)
where referral_private.normalise_code(word) is not null
on conflict do nothing;

-- Does a text that was drawn, in its normal form, contain a word anywhere? Another one is drawn then.
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
    where r.key = p_key or not r.alone and position(r.key in p_key) > 0
  );
end
$$;

-- The reserved word for which an organisation cannot choose this code; null where there is none. The words are those of
-- the code as it is shown, and of the code without its hyphens: F-U-C-K is read as a word, too.
create function referral_private.reserved_word_in(p_org_id uuid, p_code text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := referral_private.normalise_code(p_code);
  v_shown constant text := referral_private.show_code(p_code) collate "C";
  v_joined constant text := replace(v_shown, '-', '');
begin
  return (
    select r.word
    from referral_private.reserved_words as r
    where (
        r.key = v_key
        or not r.alone and position(r.key in v_key) > 0 and (v_shown ~ r.spelling or v_joined ~ r.spelling)
      )
      and not exists (
        select from referral_private.allowed_words as a where a.org_id = p_org_id and a.word = r.word
      )
    order by length(r.word) desc, r.word
    limit 1
  );
end
$$;
