"""Images that database servers boot from: Debian with one engine and the guest agent, the same bytes from the same inputs."""
