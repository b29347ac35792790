-- One row is one event of the HTTP collector as it arrived (what was sent again after long is repeated).
{{ config(enabled=is_active('collector')) }}

{{ segment_events('collector', 'events') }}
