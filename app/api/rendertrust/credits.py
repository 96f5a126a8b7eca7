"""RenderTrust: credits."""

from flask_smorest import Blueprint

blueprint = Blueprint("rendertrust_credits", __name__, url_prefix="/api/v1/credits", description="Credits")
