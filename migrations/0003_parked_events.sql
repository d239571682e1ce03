CREATE TABLE "held_event" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"cursor" text NOT NULL,
	"fractal" text NOT NULL,
	"type" text NOT NULL,
	"time" bigint NOT NULL,
	"error" text,
	"program" text,
	"tries" integer DEFAULT 0 NOT NULL,
	"since" timestamp (3) with time zone
);
--> statement-breakpoint
ALTER TABLE "fractal" ADD COLUMN "error_version" text;--> statement-breakpoint
ALTER TABLE "fractal_version" ADD COLUMN "error_version" text;--> statement-breakpoint
CREATE INDEX "held_event_fractal" ON "held_event" USING btree ("fractal","seq");