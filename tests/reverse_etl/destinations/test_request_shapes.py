"""What our clients send against what RudderStack's transformer sent to the same calls (MIT, as of September 2023).

Rows are made of the values of each recorded request, sent by our client, and the two requests compared object by object. What
is compared with what, and what is not and why, stands in COMPARED and NOT_COMPARED; a recorded file in neither fails.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.emulators.destinations import braze, customerio, hubspot, iterable, mailchimp, slack
from tests.reverse_etl.destinations.recorded import recorded, sent, without
from tests.reverse_etl.destinations.shared import batch, merging, shared_data

pytestmark = pytest.mark.shared_data

VENDORS = (
    "braze",
    "customerio",
    "fb_custom_audience",
    "google_adwords_remarketing_lists",
    "hs",
    "iterable",
    "klaviyo",
    "mailchimp",
    "salesforce",
    "slack",
    "tiktok_ads",
    "webhook",
)
COMPARED = {
    "braze_output",
    "braze_router_output",
    "customerio_output",
    "customerio_router_output",
    "fb_custom_audience",
    "fb_custom_audience_router",
    "fb_custom_audience_router_rETL_output",
    "hs_router_output",
    "iterable_router",
    "mailchimp_batch_output",
    "mailchimp_router_output",
    "slack_output",
    "slack_router_output",
}
NOT_COMPARED = {
    "google_adwords_remarketing_lists_output": "offlineUserDataJobs of Google Ads v13, closed to new users; ours is the Data Manager",
    "google_adwords_remarketing_lists_router_output": "as google_adwords_remarketing_lists_output",
    "hs": "holds no request",
    "hs_output": "contacts v1 and one object a call; ours are batches of objects v3, as in hs_router_output",
    "hs_router_associations_rEtl_output": "associations of companies, which we do not send",
    "hs_router_legacy_rETL_output": "leads, which we do not send",
    "hs_router_output_legacy": "contacts v1",
    "hs_router_rETL_output": "leads, which we do not send",
    "webhook_output": "the body is what a sync's template says; there is no contract to compare with",
    "webhook_router_output": "as webhook_output",
    "iterable": "calls with one user or event each, of which ours are the bulk forms; the bulk forms are in iterable_router",
    "mailchimp_output": "calls with one member each (PUT), and events, which we do not send",
    "klaviyo": "revision 2023-02-22: flat profiles and metrics in events, profiles by PATCH; ours is 2026-07-15, held by openapi",
    "klaviyo_router_output": "as klaviyo",
    "salesforce_output": "one record a call at /sobjects; ours are jobs of Bulk API 2.0. Its error answers are compared",
    "salesforce_router_output": "as salesforce_output",
    "salesforce_router_metadata_output": "as salesforce_output",
    "tiktok_ads_output": "the events API (/pixel/track); audiences are another call. Its return codes are compared",
    "tiktok_ads_router_output": "as tiktok_ads_output",
    "tiktok_ads_offline_events": "the API of offline events, which was folded into the events API",
    "tiktok_ads_offline_events_router_output": "as tiktok_ads_offline_events",
}


def test_every_recorded_file_of_our_vendors_is_compared_or_has_a_reason() -> None:
    folder = shared_data("rudder_transformer_mit_2023") / "destinations"
    ours = {path.stem for path in folder.glob("*.json") if path.stem.startswith(VENDORS)}
    with_requests = {name for name in ours if "input" not in name and "proxy" not in name}
    assert with_requests == COMPARED | set(NOT_COMPARED)


def test_users_and_events_of_braze(tmp_path: Path) -> None:
    """Objects with an external id. Those with an alias only, and purchases, are not ours; `partner` names their product."""
    users: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for name in ("braze_output", "braze_router_output"):
        for request in recorded(name, "/users/track"):
            body = request["body"]["JSON"]
            users += [each for each in body.get("attributes", []) if "external_id" in each]
            events += [each for each in body.get("events", []) if "external_id" in each]
    assert (len(users), len(events)) == (10, 7)
    batches = [batch("users", [without(user, "_merge_objects")]) for user in users]
    batches += [batch("events", [{**without(each, "properties"), **each["properties"]}], "append") for each in events]
    ours = [json.loads(body) for _, path, body in sent(braze, tmp_path, batches) if path == "/users/track"]
    # _merge_objects merges nested objects of attributes, which a table has none of.
    expected = [{"attributes": [without(user, "_merge_objects")]} for user in users]
    expected += [{"events": [_non_null_properties(each)]} for each in events]
    assert ours == expected


def _non_null_properties(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "properties": {name: value for name, value in event["properties"].items() if value is not None}}


def test_merges_of_braze(tmp_path: Path) -> None:
    """/users/merge, the calls whole."""
    theirs = [
        each["body"]["JSON"]
        for name in ("braze_output", "braze_router_output")
        for each in recorded(name, "/users/merge")
    ]
    assert [len(each["merge_updates"]) for each in theirs] == [1, 2]
    pairs = [[(e["identifier_to_merge"], e["identifier_to_keep"]) for e in each["merge_updates"]] for each in theirs]
    heard = sent(braze, tmp_path, [merging("users", *each) for each in pairs])
    assert [(path, json.loads(body)) for _, path, body in heard] == [("/users/merge", each) for each in theirs]


def test_contacts_of_hubspot(tmp_path: Path) -> None:
    """Inputs of a batch. Ours are upserted by address, and marked; theirs are created or updated by HubSpot's id."""
    calls = recorded("hs_router_output", "/contacts/batch/create") + recorded(
        "hs_router_output", "/contacts/batch/update"
    )
    theirs = [each["properties"] for call in calls for each in call["body"]["JSON"]["inputs"]]
    assert len(theirs) == 2
    bodies = [
        json.loads(body) for _, path, body in sent(hubspot, tmp_path, [batch("contacts", theirs)]) if "upsert" in path
    ]
    assert [each["properties"] for each in bodies[0]["inputs"]] == theirs
    assert [(each["id"], each["idProperty"]) for each in bodies[0]["inputs"]] == [(e["email"], "email") for e in theirs]


def test_users_of_iterable(tmp_path: Path) -> None:
    """bulkUpdate. Theirs repeats the address in dataFields and fixes two switches; events there have no address, ours need one."""
    theirs = [
        user for each in recorded("iterable_router", "/users/bulkUpdate") for user in each["body"]["JSON"]["users"]
    ]
    assert len(theirs) == 9
    rows = [
        {**without(user["dataFields"], "email"), "email": user["email"], "userId": user["userId"]} for user in theirs
    ]
    (method, path, body), *_ = sent(iterable, tmp_path, [batch("users", rows, create_new_fields="true")])
    expected = [
        {**without(user, "preferUserId", "mergeNestedObjects"), "dataFields": without(user["dataFields"], "email")}
        for user in theirs
    ]
    assert (method, path, json.loads(body)) == (
        "POST",
        "/api/users/bulkUpdate",
        {"users": expected, "createNewFields": True},
    )


def test_objects_of_customerio(tmp_path: Path) -> None:
    """v2/batch. Theirs leaves attributes in a delete; relations alone we do not send. People went by v1, which v2 has replaced."""
    bodies = [
        each["body"]["JSON"]
        for name in ("customerio_output", "customerio_router_output")
        for each in recorded(name, "/v2/batch")
    ]
    entries = [entry for body in bodies for entry in body.get("batch", [body])]
    theirs = [entry for entry in entries if entry["action"] in ("identify", "delete")]
    assert (len(entries), len(theirs)) == (9, 7)
    batches, expected = [], []
    for entry in theirs:
        names, person = entry["identifiers"], entry["cio_relationships"][0]["identifiers"].get("id")
        row = {**entry["attributes"], "object_id": names["object_id"], "person_id": person}
        deletes = entry["action"] == "delete"
        batches.append(
            batch("objects", [row], operation="delete" if deletes else "create", object_type_id=names["object_type_id"])
        )
        # A person known by the address only is no relation of ours.
        left = ("attributes", "cio_relationships") if deletes else () if person else ("cio_relationships",)
        expected.append({"batch": [without(entry, *left)]})
    assert [json.loads(body) for _, _, body in sent(customerio, tmp_path, batches)] == expected


def test_members_of_mailchimp(tmp_path: Path) -> None:
    """Members of a list in one call. `sync_tags` is ours, and says what is their default."""
    calls = recorded("mailchimp_batch_output", "/lists/1232yyqw22") + recorded(
        "mailchimp_router_output", "/lists/aud111"
    )
    theirs = [call["body"]["JSON"] for call in calls]
    assert [len(each["members"]) for each in theirs] == [3, 2]
    options = {"sync_tags": "false", "skip_merge_validation": "false"}
    batches = [
        batch(
            "members",
            [{**without(each, "merge_fields"), **each.get("merge_fields", {})} for each in body["members"]],
            list_id=call["endpoint"].partition("?")[0].rsplit("/", 1)[1],
            **options,
        )
        for call, body in zip(calls, theirs, strict=True)
    ]
    heard = sent(mailchimp, tmp_path, batches)
    assert [path for _, path, _ in heard] == ["/3.0/lists/1232yyqw22", "/3.0/lists/aud111"]
    assert [json.loads(body) for _, _, body in heard] == [{**each, "sync_tags": False} for each in theirs]


def test_messages_of_slack(tmp_path: Path) -> None:
    """The text of each message to a webhook. Theirs goes as a form with a name, a picture and a channel, which webhooks of apps
    do not take; ours as JSON, the form that Slack documents."""
    calls = recorded("slack_output", "/demo") + recorded("slack_router_output", "/demo")
    theirs = [json.loads(each["body"]["FORM"]["payload"]) for each in calls]
    assert len(theirs) == 4
    assert all(each.keys() - {"channel", "username", "icon_url"} == {"text"} for each in theirs)
    rows = [batch("webhook_messages", [{"text": each["text"]}], "append", "append", escape="yes") for each in theirs]
    heard = [(method, json.loads(body)) for method, _, body in sent(slack, tmp_path, rows)]
    assert heard == [("POST", {"text": each["text"]}) for each in theirs]
