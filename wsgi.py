"""The API for gunicorn: `gunicorn -k gevent wsgi:app`."""

from app import loading
from app.api import unreadable
from app.config import load
from app.factory import create_app
from app.observability import uncaught

unreadable.install()
app = create_app(load())
uncaught.install()
loading.done()
