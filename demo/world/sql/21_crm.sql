-- The CRM: accounts, leads, contacts, opportunities and the history of stages, as of the end of the last day.
insert into backing_row
select 'crm/accounts', updated_at, account_id,
    json_object('id', account_id, 'name', name, 'domain', domain, 'parent_account_id', parent_id, 'industry', industry, 'employees', employees, 'country', country,
        'created_at', iso(moment(0.125)), 'updated_at', iso(updated_at))::varchar
from (
    select a.account_id, a.name, a.domain, a.industry, a.country, parent.account_id as parent_id,
        case when a.is_updated and moment(a.update_day + 0.5) < as_of() then (a.employees * 1.1)::integer else a.employees end as employees,
        case when a.is_updated and moment(a.update_day + 0.5) < as_of() then moment(a.update_day + 0.5) else moment(0.125) end as updated_at
    from account as a left join account as parent on parent.account_no = a.parent_no
);

create table lead_fact as
with sourced as (
    select p.*, draw(person_no, 'lead source') as u_source, moment(lead_at) as created_at,
        case when depth < 3 and draw(person_no, 'disqualified') < 0.3 then moment(lead_at + 12 + 15 * draw(person_no, 'disqualified day')) end as disqualified_at
    from person as p where is_lead
), first_lead as (
    select *, lead_id as id, person_no::bigint * 2 as lead_no, case when u_source < 0.5 then 'website' when u_source < 0.7 then 'fair' when u_source < 0.85 then 'wecom' when u_source < 0.95 then 'import' else 'partner' end as source
    from sourced
), second_lead as (
    -- the same person again, from a list that somebody bought
    select * replace (created_at + interval 5 days as created_at, 1 as depth, null as mql_at, null as sql_at, null as disqualified_at), second_lead_id as id, person_no::bigint * 2 + 1 as lead_no, 'import' as source
    from sourced where draw(person_no, 'second lead') < 0.06
)
select l.*, a.name as company, s.userid as owner,
    case when (source in ('fair', 'wecom') and draw(lead_no, 'lead without mail') < 0.35 and phone is not null) then null else work_email end as lead_email,
    case when draw(lead_no, 'lead without phone') < 0.2 and not (source in ('fair', 'wecom') and draw(lead_no, 'lead without mail') < 0.35) then null else phone_on(phone, phone_until_day, next_phone, day_of(created_at)) end as lead_phone,
    pick(['Facility Manager', '采购经理', 'Architect', '设计师', 'Einkauf', 'CEO', '工程部主管', ''], draw(person_no, 'title')) as title,
    case source when 'fair' then coalesce((select arg_max(f.code, f.first_day) from fair as f where f.first_day <= lead_at), 'GZ-202601') when 'website' then 'web' else '' end as campaign
from (from first_lead union all from second_lead) as l
join account as a using (account_no)
join staff as s on s.staff_no = 1 + floor(5 * draw(l.account_no, 'owner'))
where l.created_at < as_of();

insert into backing_row
select 'crm/leads', updated_at, id,
    json_object('id', id, 'first_name', given_name, 'last_name', family_name, 'email', written_email(lead_email, lead_no), 'phone', written_phone(lead_phone, lead_no), 'company', company, 'title', title,
        'source', source, 'campaign', campaign, 'status', status, 'owner', owner, 'converted_contact_id', case when status = 'SQL' then contact_id end, 'created_at', iso(created_at), 'updated_at', iso(updated_at))::varchar
from (
    select *, case when moment(sql_at) < as_of() then 'SQL' when disqualified_at < as_of() then 'disqualified' when moment(mql_at) < as_of() then 'MQL' else 'lead' end as status,
        last_of([created_at, moment(mql_at), moment(sql_at), disqualified_at]) as updated_at
    from lead_fact
);
insert into record_row
select 'crm', 'leads', id, person_no, null, true, null, kinds([email_form(lead_email, lead_no), phone_form(lead_phone, lead_no), case when source = 'import' and id = second_lead_id then 'second_lead' end]) from lead_fact;
insert into typo_email select person_no, mistyped_domain(lead_email), created_at from lead_fact where email_form(lead_email, lead_no) = 'email_typo';

-- Contacts come from qualified leads and from an old address list.
create table contact_fact as
with known as (
    select p.*, case when depth >= 3 then moment(sql_at) else moment(arrival_day + 0.3 + 10 * draw(person_no, 'imported')) end as created_at
    from person as p where is_business and (depth >= 3 or (not is_lead and draw(person_no, 'is contact') < 0.3))
)
select k.*, a.account_id, s.userid as owner,
    case when wecom_at is not null and draw(person_no, 'links wecom') < 0.6 then greatest(created_at + interval 1 hour, moment(wecom_at + 1)) end as linked_at,
    pick(['Facility Manager', '采购经理', 'Architect', '设计师', 'Einkauf', 'CEO', '工程部主管', ''], draw(person_no, 'title')) as title,
    case when draw(person_no, 'contact without phone') < 0.2 then null else phone_on(phone, phone_until_day, next_phone, day_of(created_at)) end as contact_phone
from known as k join account as a using (account_no) join staff as s on s.staff_no = 1 + floor(5 * draw(k.account_no, 'owner'))
where k.created_at < as_of();

insert into backing_row
select 'crm/contacts', last_of([created_at, linked_at]), contact_id,
    json_object('id', contact_id, 'account_id', account_id, 'first_name', given_name, 'last_name', family_name, 'email', written_email(work_email, person_no * 4 + 3), 'phone', written_phone(contact_phone, person_no * 4 + 3),
        'title', title, 'owner', owner, 'wecom_external_userid', case when linked_at < as_of() then external_userid end, 'created_at', iso(created_at), 'updated_at', iso(last_of([created_at, linked_at])))::varchar
from contact_fact;
insert into record_row
select 'crm', 'contacts', contact_id, person_no, null, true, null, kinds([email_form(work_email, person_no * 4 + 3), phone_form(contact_phone, person_no * 4 + 3)]) from contact_fact;
insert into typo_email select person_no, mistyped_domain(work_email), created_at from contact_fact where email_form(work_email, person_no * 4 + 3) = 'email_typo';

create table opportunity_fact as
select c.person_no, c.contact_id, c.opportunity_id, moment(c.opportunity_at) as created_at, moment(c.proof_at) as proof_at, moment(c.closed_at) as closed_at, c.will_win, c.currency,
    case when draw(c.person_no, 'no account') < 0.1 then null else c.account_id end as account_id,
    upper(a.industry[1]) || a.industry[2:] || ' lighting ' || pick(['phase 1', 'refit', '改造项目', 'new site', 'pilot'], draw(c.person_no, 'project')) as name,
    -- in yuan; the rates of from_fen hold for any unit except yen, which has no hundredth
    round(20000 + a.employees * 150 * (0.3 + draw(c.person_no, 'amount')))::bigint as amount
from contact_fact as c join account as a on a.account_no = c.account_no
where c.depth >= 4 and moment(c.opportunity_at) < as_of();

insert into backing_row
select 'crm/opportunities', last_of([created_at, proof_at, closed_at]), opportunity_id,
    json_object('id', opportunity_id, 'account_id', account_id, 'primary_contact_id', contact_id, 'name', name, 'amount', case when currency = 'JPY' then (amount * 21)::varchar else from_fen(amount, currency)::varchar || '.00' end, 'currency', currency,
        'stage', case when closed_at < as_of() then case when will_win then 'won' else 'lost' end when proof_at < as_of() then 'proof of concept' else 'opportunity' end,
        'created_at', iso(created_at), 'closed_at', case when closed_at < as_of() then iso(closed_at) end, 'is_won', case when closed_at < as_of() then will_win end,
        'updated_at', iso(last_of([created_at, proof_at, closed_at])))::varchar
from opportunity_fact;
insert into record_row select 'crm', 'opportunities', opportunity_id, person_no, null, true, null, [] from opportunity_fact;

create table stage_change as
with changes as (
    select person_no, 'lead' as object_type, id as object_id, lead_no * 8 as change_no, null as from_stage, 'lead' as to_stage, created_at as changed_at from lead_fact
    union all select person_no, 'lead', id, lead_no * 8 + 1, 'lead', 'MQL', moment(mql_at) from lead_fact
    union all select person_no, 'lead', id, lead_no * 8 + 2, 'MQL', 'SQL', moment(sql_at) from lead_fact
    union all select person_no, 'lead', id, lead_no * 8 + 3, case when mql_at is null then 'lead' else 'MQL' end, 'disqualified', disqualified_at from lead_fact
    union all select person_no, 'opportunity', opportunity_id, person_no::bigint * 16 + 4, null, 'opportunity', created_at from opportunity_fact
    union all select person_no, 'opportunity', opportunity_id, person_no::bigint * 16 + 5, 'opportunity', 'proof of concept', proof_at from opportunity_fact
    union all select person_no, 'opportunity', opportunity_id, person_no::bigint * 16 + 6, case when proof_at is null then 'opportunity' else 'proof of concept' end, case when will_win then 'won' else 'lost' end, closed_at from opportunity_fact
)
select *, 'sth_' || token('stage', change_no, 14) as id from changes where changed_at < as_of();

insert into backing_row
select 'crm/stage_history', changed_at, id,
    json_object('id', id, 'object_type', object_type, 'object_id', object_id, 'from_stage', from_stage, 'to_stage', to_stage, 'changed_at', iso(changed_at), 'updated_at', iso(changed_at))::varchar
from stage_change;
insert into record_row select 'crm', 'stage_history', id, person_no, null, true, null, [] from stage_change;
