//! A metric's name, help and type, and its values.

use godwit_control::Histogram;
use prometheus::proto::{self, Bucket, LabelPair, Metric, MetricFamily, MetricType};

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / SECOND_NS
}

/// Names and values of labels.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It never goes back while its series lasts.
    Counter,
}

/// A metric of something that has one number of it, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar<T> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) value: fn(&T) -> Option<f64>,
}

/// A metric that is a histogram of times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread<T> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) value: fn(&T) -> &Histogram,
}

impl<T> Scalar<T> {
    /// Its values for all there is. `None`: there is none.
    pub(super) fn family(&self, all: &[(Labels<'_>, &T)]) -> Option<MetricFamily> {
        let metrics = all.iter().filter_map(|(labels, it)| {
            let value = (self.value)(it)?;
            let mut metric = Metric::from_label(pairs(labels));
            match self.kind {
                Kind::Gauge => {
                    let mut gauge = proto::Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
                Kind::Counter => {
                    let mut counter = proto::Counter::default();
                    counter.set_value(value);
                    metric.set_counter(counter);
                }
            }
            Some(metric)
        });
        let kind = match self.kind {
            Kind::Gauge => MetricType::GAUGE,
            Kind::Counter => MetricType::COUNTER,
        };
        family(self.name, self.help, kind, metrics.collect())
    }
}

impl<T> Spread<T> {
    /// The same as of a [`Scalar`].
    pub(super) fn family(&self, all: &[(Labels<'_>, &T)]) -> Option<MetricFamily> {
        let metrics = all.iter().map(|(labels, it)| {
            let from = (self.value)(it);
            let buckets = from.buckets.iter().map(|from| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(seconds(from.le_ns));
                bucket.set_cumulative_count(from.count);
                bucket
            });
            let mut histogram = proto::Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(from.count);
            histogram.set_sample_sum(seconds(from.sum_ns));
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_histogram(histogram);
            metric
        });
        family(self.name, self.help, MetricType::HISTOGRAM, metrics.collect())
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> Option<MetricFamily> {
    if metrics.is_empty() {
        return None; // the format has no metric without a value
    }
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    Some(family)
}

fn pairs(labels: &Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}
