-- Where every small source puts its rows; the Python driver writes these tables out as they are.

-- one row per line of a daily text file
create table text_row (file text, file_day integer, position text, line text);
-- one row per line of a backing table, as of the end of the last day
create table backing_row (file text, updated_at timestamp, id text, line text);
-- one row per row of a source that stands for a person's record; `is_readable` false for the ones nobody can parse
-- addresses somebody mistyped: they reach nobody, but they are that person's
create table typo_email (person_no integer, email text, happened_at timestamp);
create table record_row (source text, table_name text, record_key text, person_no integer, file_day integer, is_readable boolean, reason text, mess text[]);

-- How a CSV or JSON row breaks: cut in the middle, or (CSV only) with a date that does not exist.
create macro csv_breaks_by_date(row_no) as draw(row_no, 'how torn') < 0.5;
create macro broken_csv(line, row_no) as case when csv_breaks_by_date(row_no)
    then regexp_replace(regexp_replace(line, '\d{4}([-/])\d\d[-/]\d\d', '2026\102\130'), '\d\d\.\d\d\.\d{4}', '31.02.2026')
    else line[1:greatest(1, len(line) // 2)] end;
create macro broken_json(line) as line[1:greatest(1, len(line) // 2)];

-- Rows of one object (columns row_no, happened_at, record_key, person_no, line, tail, mess; the tail stands in files from the middle of the horizon on) with their file, day of arrival and dirt: 1.5 % arrive one to
-- three days late, 0.5 % stand twice in their file, one in 500 cannot be read. `row_no` is unique in the object.
create macro filed(object_rows, file_name, is_json_file) as table
with marked as (
    select r.*, file_name as file, draw(row_no, file_name || ' late') < 0.015 as is_late, draw(row_no, file_name || ' twice') < 0.005 as is_twice,
        draw(row_no, file_name || ' torn') < getvariable('torn_row_share') as is_torn
    from query_table(object_rows) as r
), copied as (
    select *, day_of(happened_at) + case when is_late then 1 + floor(3 * draw(row_no, 'days late'))::integer else 0 end as file_day,
        unnest(case when is_twice then [0, 1] else [0] end) as copy_no
    from marked
), lengthened as (
    select * replace (line || case when file_day >= getvariable('horizon') // 2 then tail else '' end as line) from copied
)
select file, file_day::integer as file_day, strftime(happened_at, '%Y%m%d%H%M%S') || '/' || lpad(row_no::varchar, 19, '0') || '/' || copy_no as position,
    case when is_torn then (case when is_json_file then broken_json(line) else broken_csv(line, row_no) end) else line end as line,
    record_key, person_no, not is_torn as is_readable,
    case when not is_torn then null when is_json_file then 'torn JSON' when csv_breaks_by_date(row_no) then 'impossible date' else 'wrong number of fields' end as reason,
    list_filter(list_concat(mess, [case when is_late then 'late_row' end, case when copy_no = 1 then 'repeated_row' end, case when is_torn then 'malformed_row' end]), lambda m: m is not null) as mess
from lengthened
where file_day < getvariable('days') and happened_at < as_of();

create macro source_of(file) as split_part(file, '/', 1);
create macro table_of(file) as split_part(file, '/', 2);

-- A field of a CSV row with commas, quoted where it must be; null is empty.
create macro csv_field(value) as case when value is null then '' when regexp_matches(value, '[",\r\n]') then '"' || replace(value, '"', '""') || '"' else value end;

-- What there is of a list of strings, for the column `mess`.
create macro kinds(list) as list_filter(list, lambda m: m is not null);
