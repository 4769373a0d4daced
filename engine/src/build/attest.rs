//! What of the attestations goes with which output.

use builder::BuildError;
use builder::attest::{self, ProvenanceOptions, Said};
use content::Durability;
use images::ImageRecord;
use oci::Reference;

use super::export::{Exported, Exporter, Ready, not_pushed};
use super::output::{AttestationStorage, Wrapping};

/// What an output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An image that goes to registries.
    Push,
    /// An image that does not.
    Keep,
    /// The files of an image.
    Files,
}

impl Exporter<'_> {
    /// What nobody asked for is no reason to fail.
    pub(super) fn push_referrers(
        &self,
        name: &Reference,
        record: &ImageRecord,
    ) -> Result<(), BuildError> {
        let (client, stores) = (self.registries.client(), self.archive_stores());
        let is_asked_for = self.request.attest.sbom.is_some()
            || self.request.attest.provenance.as_ref().is_some_and(|wanted| !wanted.is_default);
        match transfer::push_referrers(client, &stores, name, record) {
            Err(error) if is_asked_for => Err(not_pushed(name, error)),
            Err(error) => {
                (self.told)(&Exported::NotAttested(error.to_string()));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether an output has more than one manifest.
    pub(super) fn is_list(
        &self,
        storage: AttestationStorage,
        wrapping: &Wrapping,
        purpose: Purpose,
    ) -> bool {
        let says = self.provenance_for(purpose, wrapping.docker_types).is_some()
            || self.request.attest.sbom.is_some();
        self.ready.len() > 1
            || self.request.always_index
            || (storage == AttestationStorage::Index && says)
    }

    /// The provenance that goes with an output.
    fn provenance_for(&self, purpose: Purpose, docker_types: bool) -> Option<&ProvenanceOptions> {
        let wanted = self.request.attest.provenance.as_ref()?;
        let goes = match purpose {
            Purpose::Push => !(wanted.is_default && docker_types),
            Purpose::Keep => !wanted.is_default,
            Purpose::Files => !wanted.only_images,
        };
        goes.then_some(wanted)
    }

    /// All that is said about a result.
    pub(super) fn said(
        &self,
        ready: &Ready,
        record: Option<&ImageRecord>,
        purpose: Purpose,
        name: &str,
    ) -> Result<Vec<Said>, BuildError> {
        let Ready { plan, solved, content } = ready;
        let mut said = match content.get() {
            Some(said) => said.clone(),
            None => {
                let listed = attest::list_content(plan, solved, self.request, self.stores, name)?;
                content.get_or_init(|| listed).clone()
            }
        };
        if let Some(options) = self.provenance_for(purpose, false) {
            let request = self.request;
            said.push(attest::provenance(plan, solved, request, options, record, self.invocation));
        }
        Ok(said)
    }

    /// An image with what is said about it, as far as that goes with the output.
    pub(super) fn attested(
        &self,
        ready: &Ready,
        record: ImageRecord,
        names: &[Reference],
        purpose: Purpose,
        wrapping: &Wrapping,
        durability: Durability,
    ) -> Result<ImageRecord, BuildError> {
        let attests = self.request.attest.sbom.is_some()
            || self.provenance_for(purpose, wrapping.docker_types).is_some();
        if !attests {
            return Ok(record);
        }
        if wrapping.docker_types {
            return Err(BuildError::Invalid(
                "cannot export attestations with \"oci-mediatypes=false\"".into(),
            ));
        }
        let name = names.first().map_or("image".to_owned(), Reference::familiar);
        let said = self.said(ready, Some(&record), purpose, &name)?;
        let subjects = attest::image_subjects(&record, names);
        let referrer = attest::attach(&record, &subjects, &said, self.stores, durability)?;
        Ok(ImageRecord { referrers: vec![referrer], ..record })
    }
}
