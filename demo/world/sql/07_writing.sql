-- How people and systems write what they know: the same e-mail and the same phone number in many forms. `*_form` names the form
-- that `written_*` with the same arguments produces; null is the canonical one. `id` numbers the occasion of writing.
create macro email_form(email, id) as case
    when email is null then null
    when draw(id, 'email form') < 0.030 then 'email_case'
    when draw(id, 'email form') < 0.045 then 'email_spaces'
    when draw(id, 'email form') < 0.060 then 'email_plus_tag'
    when draw(id, 'email form') < 0.300 and email like '%@gmail.com' then 'email_gmail_dots'
    when draw(id, 'email form') > 0.990 then 'email_typo' end;

create macro mistyped_domain(email) as
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(email, '\.com$', '.con'), '\.org$', '.ogr'), '\.net$', '.ent'), '\.example$', '.exmaple');

create macro written_email(email, id) as case email_form(email, id)
    when 'email_case' then case when draw(id, 'email case') < 0.5 then upper(email) else upper(email[1]) || email[2:] end
    when 'email_spaces' then case when draw(id, 'email space') < 0.5 then ' ' || email else email || '  ' end
    when 'email_plus_tag' then replace(email, '@', '+lumen@')
    when 'email_gmail_dots' then email[1:4] || '.' || email[5:9] || '.' || email[10:]
    when 'email_typo' then mistyped_domain(email)
    else email end;

create macro phone_form(phone, id) as case
    when phone is null then null
    when phone like '+86%' then case
        when draw(id, 'phone form') < 0.35 then 'phone_no_country_code' when draw(id, 'phone form') < 0.41 then 'phone_0086'
        when draw(id, 'phone form') < 0.47 then 'phone_spaces' when draw(id, 'phone form') < 0.52 then 'phone_dashes' when draw(id, 'phone form') < 0.535 then 'phone_full_width' end
    else case when draw(id, 'phone form') < 0.10 then 'phone_spaces' when draw(id, 'phone form') < 0.15 then 'phone_dashes' when draw(id, 'phone form') < 0.18 then 'phone_00' end end;

-- The national part begins after two characters of a +1 number and after three of the others.
create macro grouped(digits, separator) as digits[1:3] || separator || digits[4:7] || separator || digits[8:];
create macro written_phone(phone, id) as case phone_form(phone, id)
    when 'phone_no_country_code' then phone[4:]
    when 'phone_0086' then '0086-' || phone[4:]
    when 'phone_00' then '00' || phone[2:]
    when 'phone_full_width' then translate(phone[4:], '0123456789', '０１２３４５６７８９')
    when 'phone_spaces' then case when phone like '+1%' then '+1 ' || grouped(phone[3:], ' ') else phone[1:3] || ' ' || grouped(phone[4:], ' ') end
    when 'phone_dashes' then case when phone like '+86%' then grouped(phone[4:], '-') when phone like '+1%' then '+1-' || grouped(phone[3:], '-') else phone[1:3] || '-' || grouped(phone[4:], '-') end
    else phone end;

-- JSON text of a value; null when there is none.
create macro json_or_null(value) as coalesce(to_json(value)::varchar, 'null');

-- About one row in 2,000 of the event files and one in 500 of the small files cannot be read.
set variable torn_event_share = 0.0005;
set variable torn_row_share = 0.002;
