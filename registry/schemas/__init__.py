"""The JSON Schemas of versions: what publish takes of them, and whether values fit, the same at every door.

One constructor, `Validator`, for publish, API, intake and node. It fetches nothing, by construction: the schema is read
into a tree of its parts (parts), every reference is resolved in there (references), and what jsonschema-rs is given is
written anew from that tree (program), with keywords we know and references inside it only. It is bounded, by
construction too: patterns are matched in linear time (patterns), and values are checked only when what the schema does
to values so many, so deep and so long fits a budget of work (weight). Docs: docs/decisions/0013.

Values come decoded by `contract.codec.decode_values`; nothing here decodes bytes.
"""

from registry.schemas.faults import ValueFault, path_of
from registry.schemas.parts import SchemaRefused
from registry.schemas.validator import Validator, Validators

__all__ = ["SchemaRefused", "Validator", "Validators", "ValueFault", "path_of"]
