namespace MemSim.Scenarios;

/// <summary>In which order the pages of a region are touched.</summary>
internal enum AccessKind
{
    /// <summary>One after the other, again from the start at the end.</summary>
    Sequential,

    /// <summary>Any, with equal probability.</summary>
    Random,

    /// <summary>The k-th most popular page with probability proportional to 1/k^s; popular pages lie scattered.</summary>
    Zipf,

    /// <summary>At the end of a stack that grows and shrinks in frames of a quarter page, from the region's end downwards.</summary>
    StackLike,

    /// <summary>A hot part at the region's start gets its share of the touches, the rest the others.</summary>
    HotCold,
}

/// <summary>In which order the pages of a region are touched, with what that needs to know.</summary>
/// <param name="Kind">The order.</param>
/// <param name="First">Zipf: the exponent s. Hot and cold: the part of the pages that is hot. Sequential: the stride in pages.</param>
/// <param name="Second">Hot and cold: the share of touches that goes to them.</param>
internal readonly record struct AccessPattern(AccessKind Kind, double First = 0, double Second = 0);
