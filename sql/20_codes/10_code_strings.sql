-- What a code is as text: how it is shown, the one normal form that decides equality, and how new ones are drawn.

-- The form in which a code is shown: capitals, words joined by single hyphens, as in `OLIVIA-1`; null where the text
-- is too long. NFKC folds compatibility forms, white space and dashes (Unicode Pd) part words, only ASCII is raised.
create function referral_private.show_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(p_code) > 128 then
    return null;
  end if;
  return translate(
    btrim(
      regexp_replace(
        normalize(p_code, NFKC) collate "C",
        e'[\\u0009-\\u000D\\u0020\\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000'
          || e'\\u002D\\u058A\\u05BE\\u1400\\u1806\\u2010-\\u2015\\u2E17\\u2E1A\\u2E3A\\u2E3B\\u2E40\\u2E5D'
          || e'\\u301C\\u3030\\u30A0'
          || e'\\uFE31\\uFE32\\uFE58\\uFE63\\uFF0D\\U00010D6E\\U00010EAD]+',
        '-',
        'g'
      ),
      '-'
    ),
    'abcdefghijklmnopqrstuvwxyz',
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
  );
end
$$;

-- The normal form of a code, or null where the text is not a code: 3 to 32 digits and capitals, O read as 0, I and L
-- as 1. So `olivia-1` and `0LIV1A1` are the same code. Text of ASCII letters, digits, hyphens and spaces, which nearly
-- all is, takes the short way.
create function referral_private.normalise_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_normal constant text := '^[0-9A-HJKMNP-Z]{3,32}$';
  v_key text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  v_key := translate(p_code, 'abcdefghijklmnopqrstuvwxyzOIL- ', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011');
  if v_key collate "C" ~ v_normal then
    return v_key;
  end if;
  v_key := translate(referral_private.show_code(p_code), 'OIL-', '011');
  return case when v_key collate "C" ~ v_normal then v_key end;
end
$$;

-- Draws a code of 8 to 16 characters of Crockford's base32, in groups of four: `7KQ2-M9XT`. Each character takes five
-- bits of one random byte; bytes 6 and 8 of a version 4 UUID carry fixed bits and are left out.
create function referral_private.draw_code(p_length int)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alphabet constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  v_bytes bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
  v_places constant int[] := '{0,1,2,3,4,5,7,9,10,11,12,13,14,15,16,17}';
  v_code text := '';
begin
  for i in 1..p_length loop
    v_code := v_code || case when i % 4 = 1 and i > 1 then '-' else '' end
      || substr(v_alphabet, (get_byte(v_bytes, v_places[i]) & 31) + 1, 1);
  end loop;
  return v_code;
end
$$;
