"""The JSON Schemas of versions: which schemas publish takes, and whether values fit them, the same at every door.

Publish, API, intake and node use one constructor, `Validator`. A validator fetches nothing, by construction: the schema
is read into a tree of its parts (parts), every reference is resolved inside the tree (references), and the schema for
jsonschema-rs is written anew from the tree (program), with keywords that we know and references inside it only. Its
work is bounded, also by construction: patterns are matched in linear time (patterns), and a value is checked only when
the most that the schema can do to a value of its size fits a budget of work (weight). See docs/decisions/0013.

`contract.codec.decode_values` decodes the values. Nothing here decodes bytes.
"""

from registry.schemas.faults import ValueFault, path_of
from registry.schemas.media import MediaField, MediaFields, media_fields, rules_of
from registry.schemas.parts import SchemaRefused
from registry.schemas.validator import Validator, Validators

__all__ = [
    "MediaField",
    "MediaFields",
    "SchemaRefused",
    "Validator",
    "Validators",
    "ValueFault",
    "media_fields",
    "path_of",
    "rules_of",
]
