/* Tests of the API through app.request(), as they are, on Deno, with a broker and a database. */
import '../test/api/commands.test.ts'
import '../test/api/images.test.ts'
import '../test/api/request.test.ts'
import '../test/api/webhook-creation.test.ts'
import '../test/api/webhook-deliveries.test.ts'
import '../test/api/webhooks.test.ts'
