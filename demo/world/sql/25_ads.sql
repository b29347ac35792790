-- Clicks on ads: those that became a visit, and those whose visitor left before the page was there. Spend per campaign and day.
create table ad_click as
with landed as (
    select v.visit_no * 2 as row_no, v.person_no, v.click_id, v.campaign_no, v.started_at as clicked_at, case when draw(v.visit_no, 'click knows cookie') < 0.6 then v.anonymous_id end as anonymous_id,
        case when c.keywords is null then null else pick(c.keywords, draw(v.visit_no, 'keyword')) end as keyword,
        case when v.is_business and v.visit_kind in ('pricing', 'content', 'contact', 'whitepaper') then '/business' else '/' end as path
    from visit as v join campaign as c using (campaign_no) where v.click_id is not null
), bounced as (
    select p.person_no::bigint * 2 + 1 as row_no, p.person_no, token('bounced click', p.person_no, 26) as click_id, 3 as campaign_no, moment(p.arrival_day + 0.9 * draw(p.person_no, 'bounced')) as clicked_at, null as anonymous_id, null as keyword, '/' as path
    from person as p where p.kind <> 'test' and draw(p.person_no, 'bounces') < 0.15
)
select k.row_no, k.person_no, k.click_id, c.platform, c.campaign_id, c.campaign, c.campaign_id || '-' || pick(['a', 'b', 'c'], draw(k.row_no, 'adgroup')) as adgroup, k.keyword, k.clicked_at,
    'https://www.lumen.example' || k.path || '?utm_source=' || c.source || '&utm_medium=' || c.medium || '&'
        || case c.platform when 'google' then 'gclid' when 'baidu' then 'bd_vid' when 'meta' then 'fbclid' when 'tiktok' then 'ttclid' else 'li_fat_id' end || '=' || k.click_id as landing_url,
    k.anonymous_id, day_of(k.clicked_at)::integer as file_day
from (from landed union all from bounced) as k join campaign as c using (campaign_no)
where k.clicked_at < as_of();

create table ads_clicks as
select file_day, row_no, click_id, platform, campaign_id, campaign, adgroup, keyword, clicked_at, landing_url, anonymous_id
from (select *, unnest(case when draw(row_no, 'click twice') < 0.005 then [0, 1] else [0] end) as copy_no from ad_click)
order by file_day, clicked_at, row_no, copy_no;
insert into record_row select 'ads', 'clicks', click_id, person_no, file_day, true, null, kinds([case when draw(row_no, 'click twice') < 0.005 then 'repeated_row' end]) from ad_click;

insert into text_row
with spent as (
    select c.campaign_no, d.day::integer as day, count(k.click_id) as clicks
    from campaign as c cross join range(0, getvariable('days')) as d(day)
    left join ad_click as k on k.campaign_id = c.campaign_id and k.file_day = d.day
    where c.is_paid
    group by all
)
select 'ads/spend', s.day, c.campaign_id,
    concat_ws(',', strftime(moment(s.day), '%Y-%m-%d'), c.platform, c.campaign_id, csv_field(c.campaign), 200 + s.clicks * (20 + floor(30 * draw(s.campaign_no * 4096 + s.day, 'impressions')))::integer, s.clicks,
        printf('%.2f', 5 + s.clicks * (0.8 + 2 * draw(s.campaign_no * 4096 + s.day, 'cost'))), case when c.platform in ('baidu', 'tiktok') then 'CNY' else 'USD' end)
from spent as s join campaign as c using (campaign_no);
