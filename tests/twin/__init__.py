"""The servers around Headrace, in memory: every shell module runs on them in a unit test, in milliseconds.

`kafka.TwinKafka` stands behind the three clients of confluent-kafka (runtime.kafka_clients), so all of runtime.kafka,
and whoever uses it, runs unchanged: `Producer(twin.brokers, "me")`. `simulated.SimulatedTime` runs threads, event
loops and clocks of a test by a clock of its own, so an hour of an outage takes milliseconds and a seed repeats itself.
Where the twin differs from a real broker the twin is wrong: tests/conformance says so.
"""
