-- Guards: no component of identity is giant all of a sudden. If this warns, something that many people have in common ties
-- them together: the persons of the component are kept from every destination, everything else flows. To mend: look for the
-- identifier with the most edges in it (docs/identity-health.md), then block it, give its type a maximum or a fan-out, or
-- separate two identifiers with an override; the next run puts it right.
{{ config(severity='warn') }}

select * from {{ ref('identity_quarantine') }}
