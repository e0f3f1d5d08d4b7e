-- What a code is as text: how it is shown, the one normal form that decides equality, and how new ones are drawn.

-- The form in which a code is shown: capitals, words joined by single hyphens, as in `OLIVIA-1`; null where the text
-- is too long. NFKC folds compatibility forms. Format characters, which nobody sees, are dropped: Unicode's
-- Default_Ignorable_Code_Point. White space and dashes (Pd) part words. Quotes, brackets and sentence punctuation of
-- every script are dropped around the code, as are the signs that chat programs format with. Only ASCII is raised.
create function referral_private.show_code(p_code text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ignored constant text :=
    e'\\u00AD\\u034F\\u061C\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180F\\u200B-\\u200F\\u202A-\\u202E'
    || e'\\u2060-\\u206F\\u3164\\uFE00-\\uFE0F\\uFEFF\\uFFA0\\uFFF0-\\uFFFB\\U0001BCA0-\\U0001BCA3'
    || e'\\U0001D173-\\U0001D17A\\U000E0000-\\U000E0FFF';
  v_parting constant text :=
    e'\\u0009-\\u000D\\u0020\\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000'
    || e'\\u002D\\u058A\\u05BE\\u1400\\u1806\\u2010-\\u2015\\u2E17\\u2E1A\\u2E3A\\u2E3B\\u2E40\\u2E5D'
    || e'\\u301C\\u3030\\u30A0'
    || e'\\uFE31\\uFE32\\uFE58\\uFE63\\uFF0D\\U00010D6E\\U00010EAD';
  v_around constant text :=
    e'\\u0021\\u0022\\u0027-\\u002A\\u002C\\u002E\\u003A\\u003B\\u003C\\u003E\\u003F\\u005B\\u005D'
    || e'\\u005F\\u0060\\u007B\\u007D\\u007E\\u00A1\\u00AB\\u00B7\\u00BB\\u00BF\\u02B9-\\u02BD\\u02EE'
    || e'\\u055A-\\u055F\\u0589\\u05C3\\u05F3\\u05F4\\u060C\\u061B\\u061D-\\u061F\\u06D4\\u0700-\\u070A'
    || e'\\u070C\\u07F8\\u07F9\\u0830-\\u0835\\u0837-\\u083E\\u085E\\u0964\\u0965\\u0E5A\\u0E5B\\u0F08'
    || e'\\u0F0D-\\u0F12\\u0F3A-\\u0F3D\\u104A\\u104B\\u1361-\\u1368\\u166E\\u169B\\u169C\\u16EB-\\u16ED'
    || e'\\u1735\\u1736\\u17D4-\\u17D6\\u17DA\\u1802-\\u1805\\u1808\\u1809\\u1944\\u1945\\u1AA8-\\u1AAB'
    || e'\\u1B4E\\u1B4F\\u1B5A\\u1B5B\\u1B5D-\\u1B5F\\u1B7D-\\u1B7F\\u1C3B-\\u1C3F\\u1C7E\\u1C7F'
    || e'\\u2018-\\u201F\\u2022\\u2032-\\u2037\\u2039\\u203A\\u203D\\u2045\\u2046\\u2308-\\u230B'
    || e'\\u275B-\\u2760\\u2768-\\u2775\\u27C5\\u27C6\\u27E6-\\u27EF\\u2983-\\u2998\\u29D8-\\u29DB\\u29FC'
    || e'\\u29FD\\u2CF9-\\u2CFB\\u2E00-\\u2E0D\\u2E18\\u2E1C\\u2E1D\\u2E20-\\u2E29\\u2E2E\\u2E3C\\u2E41'
    || e'\\u2E42\\u2E4C\\u2E4E\\u2E4F\\u2E53-\\u2E5C\\u3001\\u3002\\u3008-\\u3011\\u3014-\\u301B'
    || e'\\u301D-\\u301F\\u30FB\\uA4FE\\uA4FF\\uA60D-\\uA60F\\uA6F3-\\uA6F7\\uA876\\uA877\\uA8CE\\uA8CF'
    || e'\\uA92F\\uA9C7-\\uA9C9\\uAA5D-\\uAA5F\\uAADF\\uAAF0\\uAAF1\\uABEB\\uFD3E\\uFD3F\\U0001039F'
    || e'\\U000103D0\\U00010857\\U0001091F\\U00010A56\\U00010A57\\U00010AF0-\\U00010AF5'
    || e'\\U00010B3A-\\U00010B3F\\U00010B99-\\U00010B9C\\U00010F55-\\U00010F59\\U00010F86-\\U00010F89'
    || e'\\U00011047-\\U0001104D\\U000110BE-\\U000110C1\\U00011141-\\U00011143\\U000111C5\\U000111C6'
    || e'\\U000111CD\\U000111DE\\U000111DF\\U00011238-\\U0001123C\\U000112A9\\U000113D4\\U000113D5'
    || e'\\U0001144B-\\U0001144D\\U0001145A\\U0001145B\\U000115C2-\\U000115C5\\U000115C9-\\U000115D7'
    || e'\\U00011641\\U00011642\\U0001173C-\\U0001173E\\U00011944\\U00011946\\U00011A42\\U00011A43'
    || e'\\U00011A9B\\U00011A9C\\U00011AA1\\U00011AA2\\U00011C41-\\U00011C43\\U00011C71\\U00011EF7'
    || e'\\U00011EF8\\U00011F43\\U00011F44\\U00012470-\\U00012474\\U00016A6E\\U00016A6F\\U00016AF5'
    || e'\\U00016B37-\\U00016B39\\U00016B44\\U00016D6E\\U00016D6F\\U00016E97\\U00016E98\\U0001BC9F'
    || e'\\U0001DA87-\\U0001DA8A';
  v_text text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  -- People type an acute accent for a quote. Its compatibility form is a space and a combining accent.
  v_text := normalize(translate(p_code, e'\u00B4', ''''), NFKC) collate "C";
  v_text := regexp_replace(v_text, '[' || v_ignored || ']+', '', 'g');
  v_text := regexp_replace(v_text, '[' || v_parting || ']+', '-', 'g');
  v_text := regexp_replace(v_text, '^[-' || v_around || ']+|[-' || v_around || ']+$', '', 'g');
  return translate(v_text, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ');
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
  v_key text;
begin
  if length(p_code) > 128 then
    return null;
  end if;
  v_key := translate(p_code, 'abcdefghijklmnopqrstuvwxyzOIL- ', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011');
  if length(v_key) between 3 and 32 and translate(v_key, '0123456789ABCDEFGHJKMNPQRSTUVWXYZ', '') = '' then
    return v_key;
  end if;
  v_key := translate(referral_private.show_code(p_code), 'OIL-', '011');
  return case when v_key collate "C" ~ '^[0-9A-HJKMNP-Z]+$' and length(v_key) between 3 and 32 then v_key end;
end
$$;

-- How a code looks, from its normal form: codes that look alike are the same here. 5 is read as S, 2 as Z, 8 as B, 6 as
-- G, and U as V. Such codes are different ones; only people confuse them.
create function referral_private.look_of(p_key text)
returns text
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return translate(p_key, 'SZBGU', '5286V');
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
