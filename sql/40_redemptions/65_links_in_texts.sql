-- A code in a text that people paste: a link, a message with a link, or the code alone. It is read as the client's
-- `redeem` reads it, for the texts that reach the database without the client.

-- A part of an address without its percent-encoding; null where that is none, or no text.
create function referral_private.percent_decoded(p_text text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_text ~ '%(?![0-9A-Fa-f]{2})' then
    return null;
  end if;
  return (
    select convert_from(
      string_agg(
        case when starts_with(part.found[1], '%')
          then decode(substr(part.found[1], 2), 'hex') else convert_to(part.found[1], 'UTF8')
        end,
        '' order by part.place
      ),
      'UTF8'
    )
    from regexp_matches(p_text, '%[0-9A-Fa-f]{2}|[^%]+', 'g') with ordinality as part (found, place)
  );
exception
  when character_not_in_repertoire or untranslatable_character then
    return null;
end
$$;

-- The code in an address of any host, with or without its scheme: in the path after `/link/` or `/referbase-link/`, or
-- else the last `ref` of the query. Null without one, and where the address names a user.
create function referral_private.code_in_address(p_address text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts constant text[] := regexp_match(
    translate(p_address, e'\\', '/'),
    '^[^0-9A-Za-z]*(?:[Hh][Tt][Tt][Pp][Ss]?://)?[^/?#@:[:space:]]+(?::[0-5]?[0-9]{1,4})?(/[^?#]*)?'
    || '(?:[?]([^#]*))?(?:#.*)?$'
  );
  v_segment constant text := (regexp_match(v_parts[1], '/(?:referbase-)?link/([^/]+)/?$'))[1];
  v_code text;
begin
  if v_segment is not null then
    v_code := referral_private.percent_decoded(v_segment);
  else
    v_code := (
      select referral_private.percent_decoded(translate(substr(p.text, 5), '+', ' '))
      from string_to_table(v_parts[2], '&') with ordinality as p (text, place)
      where starts_with(p.text, 'ref=')
      order by p.place desc
      limit 1
    );
  end if;
  return case when referral_private.normalise_code(v_code) is not null then v_code end;
end
$$;

-- The code in the first link of a text, or else the text itself, of 128 characters at most. Of a text 8,192 characters
-- are read, and no address of more than 4,096. Words end at white space, brackets, quotes and format characters, which
-- no address contains.
create function referral_private.code_in_text(p_text text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_text constant text := case when length(p_text) <= 8192 then p_text
    else substring(left(p_text, 8192) from '^.*[[:space:]]') end;
  v_whole constant text := btrim(v_text, e' \t\n\r');
  v_word text;
  v_code text;
begin
  foreach v_word in array
    array[v_whole] || regexp_split_to_array(
      v_text, e'[\\s<>()\\[\\]{}"`“”„«»‹›\\u200B-\\u200F\\u202A-\\u202E\\u2060-\\u206F、。〈-】！（），：；？｛｝]+'
    )
  loop
    continue when v_word !~ 'link/|[?&]ref=' or v_word ~ '[[:space:]]' or length(v_word) > 4096;
    v_code := referral_private.code_in_address(rtrim(v_word, '.,;:!?*_~''’…'));
    if v_code is not null then
      return left(v_code, 128);
    end if;
  end loop;
  return left(v_whole, 128);
end
$$;
