/* Following events on Deno: streams and pages of an api, client.follow over connections that break, and subscribe from NATS. */
import '../test/api/events.test.ts'
import '../test/flow/follow.test.ts'
import '../test/platform/subscribe.test.ts'
