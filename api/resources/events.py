"""/v1.0/{project_id}/event-subscriptions"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import select

from api import events, instances, paging, views
from api.context import context, services
from api.replies import empty, reply
from api.routes import Routes, policy
from api.schemas.common import PageQuery
from api.schemas.events import NewSubscriptionBody, SubscriptionBody, SubscriptionChangeBody, SubscriptionPage
from models import EventSubscription

routes = Routes("events", "What happens to instances, told to a queue of the project.")


@routes.route("/event-subscriptions")
class Subscriptions(MethodView):
    @policy("event_subscription:index")
    @routes.query(PageQuery)
    @routes.answers(200, SubscriptionPage, 400)
    def get(self, query: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """List subscriptions to events, newest first"""
        mine = EventSubscription.project_id == context().project_id
        with services().database.read() as s:
            rows, more = paging.newest_first(s, select(EventSubscription).where(mine), EventSubscription, mine, query)
        viewer = instances.viewer(context())
        body = {"event_subscriptions": [views.event_subscription(row[0], viewer) for row in rows]}
        return reply(paging.with_next(body, rows[-1][0].id if more else None, paging.page_limit(query)))

    @policy("event_subscription:create")
    @routes.body(NewSubscriptionBody)
    @routes.answers(201, SubscriptionBody, 400, 409, 413, 415)
    def post(self, body: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """Subscribe the project, or one instance, to events

        Changes that are committed from now on are told. The queue is made if it is not there.
        """
        return _shown(events.subscribe(context(), body["event_subscription"]).id, 201)


@routes.route("/event-subscriptions/<string:subscription_id>")
class OneSubscription(MethodView):
    @policy("event_subscription:show")
    @routes.answers(200, SubscriptionBody)
    def get(self, project_id: str, subscription_id: str) -> ResponseReturnValue:
        """Show a subscription, and what it waits for"""
        return _shown(subscription_id, 200)

    @policy("event_subscription:update")
    @routes.body(SubscriptionChangeBody)
    @routes.answers(200, SubscriptionBody, 400, 415)
    def patch(self, body: dict[str, Any], project_id: str, subscription_id: str) -> ResponseReturnValue:
        """Change which events a subscription wants"""
        events.change(context(), subscription_id, body["event_subscription"]["types"])
        return _shown(subscription_id, 200)

    @policy("event_subscription:delete")
    @routes.answers(204, None)
    def delete(self, project_id: str, subscription_id: str) -> ResponseReturnValue:
        """End a subscription; its queue stays"""
        events.unsubscribe(context(), subscription_id)
        return empty(204)


def _shown(subscription_id: str, status: int) -> ResponseReturnValue:
    with services().database.read() as s:
        row = events.find(s, context(), subscription_id)
        waiting = events.waiting(s, row.id)
    view = views.event_subscription(row, instances.viewer(context()))
    return reply({"event_subscription": {**view, "waiting": waiting}}, status)
