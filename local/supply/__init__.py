"""What Headrace is made of that others wrote: known vulnerabilities of it, and its bill of materials.

`make audit-deps` and `make sbom` run what lives here, with tools that `requirements.supply.lock` pins. No process of a
stack imports any of it.
"""
