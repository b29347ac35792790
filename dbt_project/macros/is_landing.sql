{#-
Whether a build looks at what a source landed. A run looks at all sources. A micro-batch of `cdp live` names those it loaded in
CDP_LANDED_SOURCES: what it reads incrementally, provider by provider above the provider's own last row, it reads from these alone.
The others' rows wait for the next run with their place kept. (Planning a union of all providers took a third of a batch's time.)
-#}
{% macro is_landing(source) -%}
    {{ return(not is_incremental() or env_var('CDP_LANDED_SOURCES', '') == '' or source in env_var('CDP_LANDED_SOURCES').split(',')) }}
{%- endmacro %}
