-- One row is one event of the mobile app as it arrived (repeats included).
{{ config(enabled=is_active('app')) }}

{{ segment_events('app', 'events', 'app') }}
