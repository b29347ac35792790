{# Every row that was sent for a purpose relies on a consent that was given. Assumes that a run sends only what it has
   checked; a row without its record would be one that nobody can account for. Syncs for `service` name no person. #}
{% test delivered_rows_have_consent(model) %}
select sync, run_id, key_hash
from {{ model }}
where
    status = 'succeeded'
    and operation in ('create', 'update', 'append')
    and person_id <> ''
    and coalesce(consent_record, '') = ''
    and sync in (select sync from {{ model }} where consent_record <> '')
{% endtest %}
