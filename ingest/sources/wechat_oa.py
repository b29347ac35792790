"""WeChat official account: followers by openid, details in batches of 100."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from ingest.kinds.wechat import WeChatApi
from ingest.landing import Lander
from ingest.objects import land_changed

DETAILS_A_CALL = 100
FOLLOWING = """
select openid
from raw.wechat_oa__followers
group by openid
having arg_max(subscribe, _cdp_sequence) = 1
order by openid
"""


def resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """The resource for followers; only followers whose details changed are landed.

    One who left is not in the list any more: whoever follows as far as the warehouse knows, and is not listed, is asked
    for once more and lands with `subscribe` 0.
    """
    keys = required_connection(source.name, source.connection, settings)
    api = WeChatApi(
        source,
        keys["base_url"],
        "/cgi-bin/token",
        {"grant_type": "client_credential", "appid": keys["appid"], "secret": keys["secret"]},
    )

    def details(openids: list[str]) -> Iterator[Any]:
        for start in range(0, len(openids), DETAILS_A_CALL):
            body = {"user_list": [{"openid": o, "lang": "zh_CN"} for o in openids[start : start + DETAILS_A_CALL]]}
            found = api.call("POST", "/cgi-bin/user/info/batchget", body=body)["user_info_list"]
            yield from land_changed(dlt, lander, "followers", found, "user/info/batchget")

    def followers() -> Iterator[Any]:
        listed: set[str] = set()
        next_openid = ""
        while True:
            page = api.call("GET", "/cgi-bin/user/get", params={"next_openid": next_openid} if next_openid else {})
            openids = page.get("data", {}).get("openid", [])
            listed.update(openids)
            yield from details(openids)
            next_openid = page.get("next_openid", "")
            if not openids or not next_openid:
                break
        yield from details([openid for (openid,) in lander.ask(FOLLOWING, []) if openid not in listed])

    return [dlt.resource(followers, name=raw_table(source.name, "followers"), write_disposition="append")()]
