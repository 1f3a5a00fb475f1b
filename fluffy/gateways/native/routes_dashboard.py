"""The dashboard: its page and files, sessions of browsers, and what it is told while it is open. Part of `routes`."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.gateways.native import live, pages, schemas_people, sessions
from fluffy.gateways.native.changes import EVENT_TYPE
from fluffy.gateways.native.table import Parameter, Route

DASHBOARD: tuple[Route, ...] = (
    Route("GET", "/", pages.get_page, "The dashboard: a page without data, which asks who you are.", None,
          gives="text/html", also=(304,)),
    Route("GET", "/dashboard/{version}/{name}", pages.get_asset, "A file of the dashboard itself.", None,
          gives="*/*", also=(304,)),
    Route("POST", "/v1/session", sessions.open_session,
          "Log a browser in by a cookie: {user, password} or {token}; the answer has its CSRF token.", None,
          body="json", success=201,
          sent=schemas_people.SESSION_WANTED, answer=schemas_people.SESSION, refuses=(401, 403, 409, 429)),
    Route("GET", "/v1/session", sessions.get_session,
          "Who is logged in in this browser, and the CSRF token; nobody: `user` is null.", None,
          answer=schemas_people.SESSION_OR_NOBODY, refuses=(403,)),
    Route("DELETE", "/v1/session", sessions.close_session, "Log the browser out.", Act.OWN_ACCOUNT,
          answer=schemas_people.SESSION_ENDED),
    Route("GET", "/v1/live", live.watch, "Status, jobs and nodes as server-sent events, while they change.",
          Act.SEE_CLUSTER, query=(Parameter("turns", "number", "end after so many seconds; absent: never", least=1),),
          gives=EVENT_TYPE),
)
