"""Bodies and queries of /providers/{id}/resources, and what is read in a resource's specifications."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose, PageSchema
from app.api.robocompute.schemas.sizes import Size
from app.errors import InvalidInput
from app.models.resources import BUSY, RESOURCE_STATUSES, RESOURCE_TYPES
from app.values import locations
from app.values.json_text import size_bytes

SPECIFICATIONS_LIMIT_BYTES = 16_384  # of JSON
CORES_MOST, GPUS_MOST, GPU_GB_MOST, RAM_GB_MOST, DISK_GB_MOST = 1024, 64, 1024, 65_536, 100_000
_KEPT = ("cpu_cores", "gpu_count", "gpu_memory_gb", "ram_gb", "storage_gb")


class Location(fields.String):
    """A place as `values.locations` writes it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return locations.read(super()._deserialize(value, attr, data, **options))
        except InvalidInput as refusal:
            raise ValidationError(refusal.message) from None


class SpecificationsSchema(Loose):
    """What is read in specifications; whatever else stands there is kept and told as it is."""

    cpu_cores = Size(CORES_MOST)
    cores = Size(CORES_MOST)
    gpu_count = Size(GPUS_MOST, is_whole=True)
    count = Size(GPUS_MOST, is_whole=True)
    gpu_memory_gb = Size(GPU_GB_MOST)
    memory_gb = Size(RAM_GB_MOST)
    ram_gb = Size(RAM_GB_MOST)
    storage_gb = Size(DISK_GB_MOST)
    location = Location()


class Specifications(fields.Dict):
    """An object; `memory_gb` is a GPU's memory where the resource is one, else RAM."""

    def __init__(self, **options: Any) -> None:
        example = {"model": "NVIDIA RTX 4090", "memory_gb": 24, "cpu_cores": 8, "ram_gb": 32, "storage_gb": 500}
        super().__init__(keys=fields.String(validate=validate.Length(1, 64)), metadata={"example": example}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._deserialize(value, attr, data, **options)
        if size_bytes(found) > SPECIFICATIONS_LIMIT_BYTES:
            raise ValidationError(f"must be at most {SPECIFICATIONS_LIMIT_BYTES} bytes of JSON")
        SpecificationsSchema().load(found)  # raises what is wrong with it, by field
        return found


class PricingSchema(Loose):
    per_hour = Amount(required=True)
    currency = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(CURRENCIES),
        metadata={"description": "only tasks paid in this; without it, USDC and USDT alike"},
    )


class ResourceOrderSchema(Loose):
    resource_type = fields.String(required=True, validate=validate.OneOf(RESOURCE_TYPES))
    specifications = Specifications(required=True)
    pricing = fields.Nested(PricingSchema, required=True)
    location = Location(metadata={"example": "us-east"})
    status = fields.String(load_default="available", validate=validate.OneOf(RESOURCE_STATUSES))


class ResourceChangeSchema(Loose):
    """What is left out stays as it is; specifications are replaced whole."""

    specifications = Specifications()
    pricing = fields.Nested(PricingSchema)
    location = Location(allow_none=True)
    status = fields.String(validate=validate.OneOf(RESOURCE_STATUSES))

    @validates_schema
    def _says_something(self, body: dict[str, Any], **_: Any) -> None:
        if not body:
            raise ValidationError(f"send at least one of {', '.join(self.fields)}")


class ResourceQuerySchema(PageSchema):
    type = fields.String(validate=validate.OneOf(RESOURCE_TYPES))
    status = fields.String(validate=validate.OneOf((*RESOURCE_STATUSES, BUSY)))


class ResourceSchema(Loose):
    resource_id = fields.String(required=True)
    provider_id = fields.String(required=True)
    resource_type = fields.String(required=True, validate=validate.OneOf(RESOURCE_TYPES))
    specifications = fields.Dict(required=True)
    pricing = fields.Nested(PricingSchema, required=True)
    location = fields.String(required=True, allow_none=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf((*RESOURCE_STATUSES, BUSY)),
        metadata={"description": "busy: a task has it, whatever its provider has set"},
    )
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})


class ResourcesSchema(Loose):
    resources = fields.List(fields.Nested(ResourceSchema), required=True)
    total = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)


class DeletedSchema(Loose):
    resource_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(("deleted",)))


def read_sizes(kind: str, specifications: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a resource's specifications fill. InvalidInput for a GPU's memory that no GPU has."""
    found = SpecificationsSchema().load(specifications)
    sizes: dict[str, Any] = dict.fromkeys(_KEPT) | {name: found[name] for name in _KEPT if name in found}
    sizes["cpu_cores"] = found.get("cpu_cores", found.get("cores"))
    if kind == "gpu":
        sizes["gpu_memory_gb"] = found.get("gpu_memory_gb", found.get("memory_gb"))
        sizes["gpu_count"] = int(found.get("gpu_count", found.get("count", Decimal(1))))
        if (sizes["gpu_memory_gb"] or 0) > GPU_GB_MOST:
            raise InvalidInput(f"specifications.memory_gb: must be at most {GPU_GB_MOST} for a GPU")
        return sizes
    sizes["ram_gb"] = found.get("ram_gb", found.get("memory_gb"))
    return sizes | {"gpu_count": 0, "gpu_memory_gb": None}


def location_of(specifications: Mapping[str, Any]) -> str | None:
    """Where specifications say that a resource is."""
    found: str | None = SpecificationsSchema().load(specifications).get("location")
    return found
