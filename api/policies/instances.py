from api.policies.base import ADMIN, OWNER, rule

ONE = "/instances/{instance_id}"

RULES = (
    rule("instance:create", OWNER, "Create an instance.", "POST", "/instances"),
    rule("instance:index", OWNER, "List instances.", "GET", "/instances"),
    rule("instance:detail", OWNER, "List instances with details.", "GET", "/instances/detail"),
    rule("instance:show", OWNER, "Show an instance.", "GET", ONE),
    rule("instance:update", OWNER, "Rename an instance, or change who reaches it.", "PUT", ONE),
    rule("instance:delete", OWNER, "Delete an instance.", "DELETE", ONE),
    rule(
        "instance:force_delete",
        OWNER,
        "Free an instance for its deletion.",
        "POST",
        f"{ONE}/action (reset_status with force_delete)",
    ),
    rule("instance:restart", OWNER, "Restart the engine of an instance.", "POST", f"{ONE}/action (restart)"),
    rule("instance:upgrade_agent", ADMIN, "Replace the agent of an instance's server.", "POST", f"{ONE}/action (upgrade_agent)"),
    rule(
        "instance:check_objects",
        ADMIN,
        "See whether an instance's server reaches the object store.",
        "POST",
        f"{ONE}/action (check_objects)",
    ),
    rule("instance:reset_status", ADMIN, "Break off what runs on an instance.", "POST", f"{ONE}/action (reset_status)"),
    rule("instance:resize_flavor", OWNER, "Give an instance another flavor.", "POST", f"{ONE}/action (resize)"),
    rule("instance:resize_volume", OWNER, "Enlarge the volume of an instance.", "POST", f"{ONE}/action (resize)"),
    rule("instance:promote_to_replica_source", OWNER, "Promote a replica.", "POST", f"{ONE}/action (promote_to_replica_source)"),
    rule("instance:eject_replica_source", OWNER, "Eject a replica source.", "POST", f"{ONE}/action (eject_replica_source)"),
)
