namespace MemSim;

/// <content>Where the frame lies.</content>
public readonly partial struct Page
{
    /// <summary>The zone the frame belongs to.</summary>
    public Zone Zone => Owner.ZoneTable.ZoneOf(_pfn) ?? throw new InvalidOperationException($"page frame {Pfn} lies in a hole: no zone spans it");

    /// <summary>The migrate type of the page block the frame lies in.</summary>
    public MigrateType MigrateType => Zone.PageblockType(Pfn) ?? MigrateType.Unmovable;
}
