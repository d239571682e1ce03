CREATE TABLE "projection_checkpoint" (
	"projection" text PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"event_id" text,
	"stream_created" text,
	"time" bigint NOT NULL,
	"halted" text
);
--> statement-breakpoint
CREATE TABLE "fractal" (
	"uuid" uuid PRIMARY KEY NOT NULL,
	"status" text NOT NULL,
	"checksum" text,
	"url" text,
	"duration" double precision,
	"size" bigint,
	"width" integer NOT NULL,
	"height" integer NOT NULL,
	"iterations" integer NOT NULL,
	"xa" double precision NOT NULL,
	"xb" double precision NOT NULL,
	"ya" double precision NOT NULL,
	"yb" double precision NOT NULL,
	"cx" double precision NOT NULL,
	"cy" double precision NOT NULL,
	"generated_by" text,
	"pixel_checksum" text,
	"image_key" text,
	"kernel_version" text,
	"chosen" text NOT NULL,
	"request_hash" text NOT NULL,
	"generation" integer NOT NULL,
	"attempts" integer NOT NULL,
	"entry" integer NOT NULL,
	"unended" text NOT NULL,
	"error_code" text,
	"error_message" text,
	"requested_at" timestamp (3) with time zone NOT NULL,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"first_seq" bigint NOT NULL,
	"first_id" uuid NOT NULL,
	"last_seq" bigint NOT NULL,
	"last_id" uuid NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX "fractal_first_seq" ON "fractal" USING btree ("first_seq");--> statement-breakpoint
CREATE INDEX "fractal_status" ON "fractal" USING btree ("status","first_seq");--> statement-breakpoint
CREATE INDEX "fractal_checksum" ON "fractal" USING btree ("checksum");--> statement-breakpoint
CREATE INDEX "fractal_duration" ON "fractal" USING btree ("duration");--> statement-breakpoint
CREATE INDEX "fractal_size" ON "fractal" USING btree ("size");--> statement-breakpoint
CREATE INDEX "fractal_width" ON "fractal" USING btree ("width");--> statement-breakpoint
CREATE INDEX "fractal_height" ON "fractal" USING btree ("height");--> statement-breakpoint
CREATE INDEX "fractal_iterations" ON "fractal" USING btree ("iterations");--> statement-breakpoint
CREATE INDEX "fractal_xa" ON "fractal" USING btree ("xa");--> statement-breakpoint
CREATE INDEX "fractal_xb" ON "fractal" USING btree ("xb");--> statement-breakpoint
CREATE INDEX "fractal_ya" ON "fractal" USING btree ("ya");--> statement-breakpoint
CREATE INDEX "fractal_yb" ON "fractal" USING btree ("yb");--> statement-breakpoint
CREATE INDEX "fractal_cx" ON "fractal" USING btree ("cx");--> statement-breakpoint
CREATE INDEX "fractal_cy" ON "fractal" USING btree ("cy");--> statement-breakpoint
CREATE INDEX "fractal_generated_by" ON "fractal" USING btree ("generated_by");--> statement-breakpoint
CREATE INDEX "fractal_requested_at" ON "fractal" USING btree ("requested_at");--> statement-breakpoint
CREATE INDEX "fractal_finished_at" ON "fractal" USING btree ("finished_at");