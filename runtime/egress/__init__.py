"""The one way out to addresses that users name: what is fetched for a job, later what is posted to a webhook.

A URL of a user may point at anything: this machine, our database, a cloud's metadata, a server that never ends. Nothing
else of ours may open a connection to such a URL. `Egress` (egress.py) checks the URL, resolves its name once, refuses
unless every address is public (or lies in a private prefix that the installation's policy names), connects to just that
address, checks each redirect from the beginning, and bounds bytes, times and kinds of content. Every refusal is an
`EgressRefused` whose sentence says what was expected and nothing of what lies behind the address. Imports contract at
most.
"""
