"""The application: routes, middleware and the life of the services behind them."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.websockets import WebSocket

from breakout_bot import errors
from breakout_bot.middleware import ApiKey, BodyLimit, Observe
from breakout_bot.routes import EVERY
from breakout_bot.services import Services


def create_app(services: Services) -> FastAPI:
    """Build the application around the services."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    app = FastAPIOffline(
        title="Breakout Bot Trading System",
        version=services.settings.version,
        description="Control and observation of one trading engine. What changes something needs"
        " the header X-API-Key. Every error is {detail, status_code}.",
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        static_url="/api/docs/assets",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    errors.install(app)
    for router in EVERY:
        app.include_router(router, prefix="/api")
    _add_websocket(app, services)
    # The last one added is the outermost: CORS headers must be on errors too.
    app.add_middleware(BodyLimit)
    app.add_middleware(ApiKey, key=services.settings.api_key)
    app.add_middleware(Observe, metrics=services.metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=services.settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["X-API-Key", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID"],
    )
    return app


def _add_websocket(app: FastAPI, services: Services) -> None:
    async def talk(socket: WebSocket) -> None:
        await services.hub.serve(socket)

    for path in ("/ws/", "/ws"):
        app.add_api_websocket_route(path, talk)
