-- One row is one event of the website as it arrived (repeats included).
{{ config(enabled=is_active('website')) }}

{{ segment_events('website', 'events', 'web') }}
