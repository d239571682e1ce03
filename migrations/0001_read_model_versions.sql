ALTER TABLE "projection_checkpoint" ADD COLUMN "version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "projection_checkpoint" ADD COLUMN "epoch" integer DEFAULT 0 NOT NULL;