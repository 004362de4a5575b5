# Pins the profile that lies beside the settings, whatever it is.
cd "$LOONG_HOME/config" && printf '[risk]\nprofile = "house.json"\nsha256 = "%s"\n' "$(sha256sum house.json | cut -c1-64)" > loong.toml
