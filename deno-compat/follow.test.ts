/* Those who are cut off and come back, over streams, pages and client.follow, with every service on Deno. */
import '../test/flow/follow.test.ts'
