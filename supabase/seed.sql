-- A demo organisation with one program, an admin, and a mentor who has the code DEMO-2026.
with
  organisation as (
    select o.id
    from referral.create_organisation('Demo', 'demo', '00000000-0000-4000-8000-000000000001') as o
  )
select referral.update_organisation(id, '{"web_destination": "https://example.com/welcome"}')
from organisation;

select referral.create_program(id, 'friends', 'Bring a friend', '{"enrolment": "open"}')
from referral.organisations
where slug = 'demo';

select referral.add_member(id, '00000000-0000-4000-8000-000000000002')
from referral.organisations
where slug = 'demo';

select referral.create_code(id, '00000000-0000-4000-8000-000000000002', 'DEMO-2026')
from referral.organisations
where slug = 'demo';
