CREATE TABLE "webhook_attempt" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"webhook" uuid NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"event_id" text NOT NULL,
	"cursor" text,
	"type" text NOT NULL,
	"fractal" text,
	"attempt" integer NOT NULL,
	"status" integer,
	"latency_ms" integer NOT NULL,
	"outcome" text NOT NULL,
	"error" text,
	"answer" text
);
--> statement-breakpoint
CREATE INDEX "webhook_attempt_newest" ON "webhook_attempt" USING btree ("webhook","id");