/* The original's requests, from request to picture, as they are, with every service on Deno. */
import '../test/flow/golden.test.ts'
