/* The tests of subscribing straight from NATS, as they are, on Deno. */
import '../test/platform/subscribe.test.ts'
