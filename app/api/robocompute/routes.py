"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

BLUEPRINTS: tuple[Blueprint, ...] = ()
