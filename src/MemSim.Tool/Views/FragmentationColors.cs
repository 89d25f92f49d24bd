namespace MemSim.Tool.Views;

/// <summary>The colours of a map: the hue says what kind of page a block is for, the darker it is the more of it is free.</summary>
internal static class FragmentationColors
{
    /// <summary>Every type there is with its name, in the order of a legend.</summary>
    public static IReadOnlyList<(MigrateType Type, string Name)> Legend { get; } =
    [
        (MigrateType.Movable, "movable"),
        (MigrateType.Unmovable, "unmovable"),
        (MigrateType.Reclaimable, "reclaimable"),
        (MigrateType.HighAtomic, "high-atomic"),
        (MigrateType.Cma, "CMA"),
        (MigrateType.Isolate, "isolated"),
    ];

    /// <summary>The colour of a cell.</summary>
    public static (byte Red, byte Green, byte Blue) Of(MapCell cell)
    {
        if (cell.Type is not MigrateType type)
        {
            return (255, 255, 255);
        }

        (byte red, byte green, byte blue) = Full(type);
        double share = 0.18 + (0.82 * cell.Used);
        return ((byte)(red * share), (byte)(green * share), (byte)(blue * share));
    }

    /// <summary>The colour of a block of a type all of which is used.</summary>
    public static (byte Red, byte Green, byte Blue) Full(MigrateType type) => type switch
    {
        MigrateType.Movable => (86, 180, 233),
        MigrateType.Unmovable => (230, 97, 0),
        MigrateType.Reclaimable => (240, 228, 66),
        MigrateType.HighAtomic => (204, 121, 167),
        MigrateType.Cma => (0, 158, 115),
        _ => (150, 150, 150),
    };

    public static string Hex((byte Red, byte Green, byte Blue) color) => $"#{color.Red:x2}{color.Green:x2}{color.Blue:x2}";
}
