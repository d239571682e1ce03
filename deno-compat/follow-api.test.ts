/* The tests of server-sent events and pages through app.request(), as they are, on Deno. */
import '../test/api/events.test.ts'
