//! A folder in which files change as in a volume of the kubelet's.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A mounted Secret or ConfigMap: each file is a link through `..data`, which is swapped in one step
/// (`pkg/volume/util/atomic_writer.go`).
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
    swaps: u32,
}

// === impl Mount ===

impl Mount {
    /// A volume that is mounted at `folder`, which is there.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), swaps: 0 }
    }

    /// Where a file is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts these files in place of those before.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn swap(&mut self, files: &[(&str, &str)]) {
        self.swaps += 1;
        let name = format!("..2026_{}", self.swaps);
        let folder = self.folder.join(&name);
        fs::create_dir(&folder).expect("a folder");
        for (file, text) in files {
            fs::write(folder.join(file), text).expect("a file");
        }
        let (data, next) = (self.folder.join("..data"), self.folder.join("..data_tmp"));
        let before = fs::read_link(&data).ok();
        symlink(&name, &next).expect("a link");
        fs::rename(next, &data).expect("the link is swapped");
        for (file, _) in files {
            let link = self.folder.join(file);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(file), link).expect("a link");
            }
        }
        if let Some(before) = before {
            fs::remove_dir_all(self.folder.join(before)).expect("the old folder goes");
        }
    }
}
