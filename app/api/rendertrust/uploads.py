"""Ours, in RenderTrust's dialect: files brought along before they are used."""

from flask_smorest import Blueprint

blueprint = Blueprint("rendertrust_uploads", __name__, url_prefix="/api/v1/uploads", description="Files for jobs")
